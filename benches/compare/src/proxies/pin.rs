//! Where the proxy and the load generator run.
//!
//! Left to the scheduler, a proxy now shares a core with the thread that feeds it (and gets big batches) and
//! now does not (and is woken for every write). That is a difference of some times ten, and it says nothing
//! about the proxy. So a flood has the proxy on a core of its own, and a ping-pong of one session, in which
//! nothing ever runs at the same time, has both on one core: waking another core costs more than the trip,
//! above all in a virtual machine.

use crate::proxies::procfs::{threads, tree};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// Who runs where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    Apart,
    Together,
    /// Where the scheduler likes.
    Anywhere,
}

/// The two parts of the cores that this process may use.
pub(crate) struct Cores {
    all: CpuSet,
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
        Ok(Some(Cores { all, proxy, generator }))
    }

    /// Runs `start`, whose children get the proxy's core. Afterwards this thread is where `placement` puts
    /// the load generator.
    pub(crate) fn place<T>(&self, placement: Placement, start: impl FnOnce() -> T) -> io::Result<T> {
        let (proxy, generator) = match placement {
            Placement::Apart => (&self.proxy, &self.generator),
            Placement::Together => (&self.proxy, &self.proxy),
            Placement::Anywhere => (&self.all, &self.all),
        };
        sched_setaffinity(None, proxy)?;
        let started = start();
        sched_setaffinity(None, generator)?;
        Ok(started)
    }

    /// Brings every thread of the tree under `root` back to the proxy's core: some bind themselves to the
    /// first one (hitch's workers do), where they would share a core with what feeds them.
    pub(crate) fn hold(&self, root: u32) -> io::Result<()> {
        for pid in tree(root)? {
            for thread in threads(pid) {
                // A thread that has ended meanwhile needs no place.
                let _ = sched_setaffinity(Pid::from_raw(thread), &self.proxy);
            }
        }
        Ok(())
    }
}
