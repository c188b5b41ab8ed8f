//! Walks over all connections, a piece at a time: a list of thousands of sessions never delays a keystroke.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::Slot;
use crate::conn::row::{Ending, Filter, Order, Row};
use crate::id::ConnId;
use crate::timers::Tick;
use slab::Slab;

/// What to list.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which sessions.
    pub filter: Filter,
    /// From this slot on.
    pub from: u32,
    /// So many of them.
    pub limit: usize,
    /// The top ones in this order, instead of the first ones.
    pub order: Option<Order>,
}

/// A list, or a part of one.
#[derive(Debug)]
pub struct Page {
    /// The reactor that has made it.
    pub reactor: usize,
    /// The sessions: in the order of their slots, or the best first.
    pub rows: Vec<Row>,
    /// Where the rest begins, if there may be one.
    pub next: Option<u32>,
}

/// A walk on its way.
pub(super) struct Walk {
    at: u32,
    task: Task,
}

enum Task {
    List { query: Arc<Query>, rows: Vec<(u64, Row)>, answer: Sender<Page> },
    End { filter: Arc<Filter>, ending: Ending, ended: usize, answer: Sender<usize> },
}

/// Walks that wait for their next piece.
pub(super) type Walks = VecDeque<Walk>;

/// A session that is to be ended.
pub(super) type Ends = Vec<(u32, Ending)>;

impl Walk {
    pub(super) fn list(query: Arc<Query>, answer: Sender<Page>) -> Walk {
        Walk { at: query.from, task: Task::List { query, rows: Vec::new(), answer } }
    }

    pub(super) fn end(filter: Arc<Filter>, ending: Ending, answer: Sender<usize>) -> Walk {
        Walk { at: 0, task: Task::End { filter, ending, ended: 0, answer } }
    }

    /// Does the next piece. `None` when the walk is over, and has been answered. Sessions that are to be
    /// ended go to `ends`.
    pub(super) fn step(
        mut self,
        reactor: usize,
        slots: &Slab<Slot>,
        now: Tick,
        ends: &mut Ends,
    ) -> Option<Walk> {
        let (last, mut work) = (slots.capacity() as u32, WALK_ROWS);
        let until = self.at.saturating_add(WALK_SLOTS).min(last);
        while self.at < until && work > 0 {
            let number = self.at;
            self.at += 1;
            let Some(slot) = slots.get(number as usize) else { continue };
            match &mut self.task {
                Task::List { query, rows, .. } => {
                    if !slot.conn.matches(&query.filter, now) {
                        continue;
                    }
                    let id = ConnId { slot: number, generation: slot.generation };
                    let rank = query.order.map_or(0, |order| slot.conn.rank(order, now));
                    if query.order.is_some() && rows.len() >= query.limit {
                        let (worst, least) = worst(rows);
                        if rank <= least {
                            continue;
                        }
                        rows.swap_remove(worst);
                    }
                    if let Some(row) = slot.conn.row(id, now) {
                        rows.push((rank, row));
                        work -= 1;
                    }
                    if query.order.is_none() && rows.len() >= query.limit {
                        let next = Some(self.at).filter(|at| *at < last);
                        return self.over(reactor, next);
                    }
                }
                Task::End { filter, ending, ended, .. } => {
                    if slot.conn.matches(filter, now) && slot.conn.may_be_ended() {
                        ends.push((number, *ending));
                        *ended += 1;
                        work -= 1;
                    }
                }
            }
        }
        if self.at < last { Some(self) } else { self.over(reactor, None) }
    }

    /// Answers. The asker may have given up.
    fn over(self, reactor: usize, next: Option<u32>) -> Option<Walk> {
        match self.task {
            Task::List { query, mut rows, answer } => {
                if query.order.is_some() {
                    rows.sort_by_key(|(rank, row)| (std::cmp::Reverse(*rank), row.id.slot));
                }
                let rows = rows.into_iter().map(|(_, row)| row).collect();
                let _ = answer.send(Page { reactor, rows, next });
            }
            Task::End { ended, answer, .. } => drop(answer.send(ended)),
        }
        None
    }
}

/// The place and the rank of the one that has least.
fn worst(rows: &[(u64, Row)]) -> (usize, u64) {
    let ranks = rows.iter().enumerate().map(|(at, (rank, _))| (at, *rank));
    ranks.min_by_key(|(_, rank)| *rank).unwrap_or((0, 0))
}

/// Slots that are looked at in one turn. What is looked at is not in the processor's cache: a tenth of a millisecond.
const WALK_SLOTS: u32 = 1000;

/// Sessions that are written down or ended in one turn, which costs system calls.
const WALK_ROWS: usize = 50;
