//! What values are made of, field by field, for a test that holds a list in ARCHITECTURE.md against it.

/// A type's fields, each with its name and its size in bytes. A field that is not named is an error.
macro_rules! parts {
    ($type:ident: $($field:ident),*) => {{
        fn size<T>(_: fn(&$type) -> &T) -> usize {
            size_of::<T>()
        }
        let _all = |whole: &$type| {
            let $type { $($field: _),* } = whole;
        };
        vec![$((concat!(stringify!($type), ".", stringify!($field)), size(|whole| &whole.$field))),*]
    }};
}

pub(crate) use parts;

/// Names of fields and their sizes in bytes.
pub(crate) type Parts = Vec<(&'static str, usize)>;
