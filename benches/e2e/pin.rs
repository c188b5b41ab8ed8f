//! A core for the proxy, the others for the load generator.
//!
//! When the scheduler moves them, a proxy now shares a core with the thread that feeds it (and gets big
//! batches) and now does not (and is woken for every write). That is a difference of some times ten, and it
//! says nothing about the proxy.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// The two parts of the cores that this process may use.
pub(crate) struct Cores {
    proxy: CpuSet,
    generator: CpuSet,
}

impl Cores {
    /// Splits the cores; `None` when there is one only.
    pub(crate) fn split() -> io::Result<Option<Cores>> {
        let all = sched_getaffinity(None)?;
        let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|cpu| all.is_set(*cpu)) else { return Ok(None) };
        if all.count() < 2 {
            return Ok(None);
        }
        let (mut proxy, mut generator) = (CpuSet::new(), all);
        proxy.set(last);
        generator.unset(last);
        Ok(Some(Cores { proxy, generator }))
    }

    /// Runs `start`, whose children get the proxy's core; this thread has the generator's afterwards.
    pub(crate) fn with_proxy_core<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        sched_setaffinity(None, &self.proxy)?;
        let started = start();
        sched_setaffinity(None, &self.generator)?;
        Ok(started)
    }
}
