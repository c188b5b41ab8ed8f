//! ExpectOrigin: only pages of certain origins are admitted. A request without an origin is not, as in
//! Python.

use std::path::PathBuf;

use super::list::List;
use super::{Admitted, AuthPlugin, Decision, Denial, Presented, Source};
use crate::http::origin::Origin;

pub(super) fn open(source: &Source) -> Result<Box<dyn AuthPlugin>, String> {
    Ok(Box::new(ExpectOrigin(List::of(source.argument.as_ref(), Origin::of))))
}

struct ExpectOrigin(List<Origin>);

impl AuthPlugin for ExpectOrigin {
    fn may_block(&self) -> bool {
        self.0.may_block()
    }

    fn decide(&self, presented: &Presented<'_>) -> Decision {
        let expected = match self.0.get(Origin::of) {
            Ok(expected) => expected,
            Err(why) => return Decision::Broken(why),
        };
        let is_expected = match presented.origins[..] {
            [origin] => std::str::from_utf8(origin).is_ok_and(|text| expected.contains(&Origin::of(text))),
            _ => false,
        };
        match is_expected {
            true => Decision::Admitted(Admitted::default()),
            false => Decision::Denied(Denial::InvalidOrigin),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.0.files()
    }
}
