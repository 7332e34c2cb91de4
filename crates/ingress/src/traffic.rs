//! What is counted for the process as a whole.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::pages::Page;

#[derive(Debug, Default)]
pub struct Traffic {
    pub connections: AtomicU64,
    pub connections_refused: AtomicU64,
    pub unknown_host: AtomicU64,
    pub malformed: AtomicU64,
}

impl Traffic {
    pub fn count_page(&self, page: Page) {
        match page {
            Page::UnknownHost => self.unknown_host.fetch_add(1, Ordering::Relaxed),
            _ => self.malformed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Open client connections, all together and by address.
#[derive(Debug, Default)]
pub struct OpenConnections {
    total: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl OpenConnections {
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// `None`: one of the two limits is reached. `per_address_max` of `None` exempts a trusted proxy.
    pub fn try_open(self: &Arc<Self>, peer: IpAddr, total_max: usize, per_address_max: Option<usize>) -> Option<OpenConnection> {
        let before = self.total.fetch_add(1, Ordering::Relaxed);
        let mut open = OpenConnection { all: Arc::clone(self), address: None };
        if before >= total_max {
            return None;
        }
        if let Some(limit) = per_address_max {
            let address = counted_address(peer);
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_address.entry(address).or_insert(0);
            if *count >= limit {
                return None;
            }
            *count += 1;
            open.address = Some(address);
        }
        Some(open)
    }
}

/// Counted until dropped.
#[derive(Debug)]
pub struct OpenConnection {
    all: Arc<OpenConnections>,
    address: Option<IpAddr>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.all.total.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut by_address = self.all.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = by_address.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// One customer has a whole IPv6 /64.
fn counted_address(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}
