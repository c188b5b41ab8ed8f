//! What comes of it: the comparison round by round (`compare` with `stats`, and `syscalls`), what was demanded
//! (`demands`), what is shown (`report`), and what is kept (`record`, `raw`, `plots` with `svg`).

pub(crate) mod compare;
pub(crate) mod demands;
pub(crate) mod plots;
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod stats;
pub(crate) mod svg;
pub(crate) mod syscalls;
