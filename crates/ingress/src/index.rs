//! From a host and a path to its owner: a hash on the host, then its few prefixes, the longest first.
//!
//! A look-up costs one hash, or two where only a wildcard fits, however many hosts there are. A change copies the outer
//! maps (pointers only), so readers never wait.

use std::{collections::HashMap, sync::Arc};

use crate::{path, routes::Place};

#[derive(Debug, Clone)]
pub struct Entry<T> {
    pub place: Arc<Place>,
    pub owner: T,
}

type Map<T> = HashMap<Arc<str>, Arc<[Entry<T>]>>;

#[derive(Debug, Clone)]
pub struct Index<T> {
    /// `a.test`
    exact: Map<T>,
    /// `b.test` for `*.b.test`
    wildcard: Map<T>,
    places: usize,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), places: 0 }
    }
}

impl<T: Clone> Index<T> {
    /// `host` and `path` normalised. An exact host comes before a wildcard, also where only the wildcard has a prefix that is
    /// longer; a path that none of the exact host's prefixes fits is looked for under the wildcard.
    pub fn find(&self, host: &str, path: &str) -> Option<&Entry<T>> {
        let exact = self.exact.get(host).and_then(|entries| longest(entries, path));
        exact.or_else(|| self.find_wildcard(host, path))
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.places
    }

    /// Any place of that host; a wildcard's too.
    pub fn find_host(&self, host: &str) -> Option<&Entry<T>> {
        self.exact.get(host).or_else(|| self.wildcard.get(parent(host)?)).and_then(|entries| entries.last())
    }

    /// Replaces the owner where the place is taken.
    pub fn insert(&mut self, place: Arc<Place>, owner: T) {
        let (map, key) = self.map_of(&place.host);
        let before = map.get(key).map(|entries| entries.to_vec()).unwrap_or_default();
        let count = before.len();
        let mut entries: Vec<Entry<T>> = before.into_iter().filter(|entry| entry.place.path != place.path).collect();
        let at = entries.partition_point(|entry| entry.place.path.len() > place.path.len());
        let key: Arc<str> = Arc::from(key);
        entries.insert(at, Entry { place, owner });
        let added = entries.len() - count;
        map.insert(key, entries.into());
        self.places += added;
    }

    pub fn remove(&mut self, place: &Place) {
        let (map, key) = self.map_of(&place.host);
        let Some(entries) = map.get(key) else { return };
        let count = entries.len();
        let left: Vec<Entry<T>> = entries.iter().filter(|entry| entry.place.path != place.path).cloned().collect();
        let removed = count - left.len();
        if left.is_empty() {
            map.remove(key);
        } else {
            map.insert(Arc::from(key), left.into());
        }
        self.places -= removed;
    }

    fn find_wildcard(&self, host: &str, path: &str) -> Option<&Entry<T>> {
        longest(self.wildcard.get(parent(host)?)?, path)
    }

    fn map_of<'a>(&mut self, host: &'a str) -> (&mut Map<T>, &'a str) {
        match host.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, host),
        }
    }
}

fn longest<'a, T>(entries: &'a [Entry<T>], path: &str) -> Option<&'a Entry<T>> {
    entries.iter().find(|entry| path::after_prefix(path, &entry.place.path).is_some())
}

/// A wildcard stands for exactly one label.
fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// The rule, as plainly as it can be said.
    fn naive<'a>(places: &'a [(Place, usize)], host: &str, path: &str) -> Option<&'a (Place, usize)> {
        let fits_path = |place: &Place| place.path == "/" || path == place.path || path.starts_with(&format!("{}/", place.path));
        let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}")).unwrap_or_default();
        [host, &wildcard].into_iter().find_map(|wanted| {
            places.iter().filter(|(place, _)| place.host == wanted && fits_path(place)).max_by_key(|(place, _)| place.path.len())
        })
    }

    fn host() -> impl Strategy<Value = String> {
        proptest::sample::select(vec!["a.test", "b.test", "*.test", "x.a.test", "*.a.test", "y.x.a.test", "test"]).prop_map(str::to_owned)
    }

    fn path() -> impl Strategy<Value = String> {
        prop_oneof![Just("/".to_owned()), proptest::collection::vec("(a|ab|b)", 1..4).prop_map(|parts| format!("/{}", parts.join("/")))]
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_a_plain_model(
            steps in proptest::collection::vec((host(), path(), any::<bool>()), 0..40),
            asked in proptest::collection::vec((host(), path(), "(|/|/a|x)"), 1..20),
        ) {
            let (mut index, mut model) = (Index::default(), Vec::<(Place, usize)>::new());
            for (number, (host, path, is_insert)) in steps.into_iter().enumerate() {
                let place = Place::prefix(host, path);
                model.retain(|(known, _)| *known != place);
                if is_insert {
                    model.push((place.clone(), number));
                    index.insert(Arc::new(place), number);
                } else {
                    index.remove(&place);
                }
                prop_assert_eq!(index.len(), model.len());
            }
            for (host, path, more) in asked {
                let (host, path) = (host.replace('*', "w"), format!("{}{more}", path.trim_end_matches('/')));
                let path = if path.starts_with('/') { path } else { format!("/{path}") };
                let found = index.find(&host, &path).map(|entry| entry.owner);
                prop_assert_eq!(found, naive(&model, &host, &path).map(|(_, owner)| *owner), "{} {}", host, path);
            }
        }
    }

    #[test]
    fn a_change_among_ten_thousand_hosts_is_quick() {
        let mut index = Index::default();
        for number in 0..10_000 {
            index.insert(Arc::new(Place::host(format!("h{number}.test"))), number);
        }
        let begin = Instant::now();
        for number in 0..20 {
            let mut next = index.clone();
            next.insert(Arc::new(Place::prefix(format!("h{number}.test"), "/api")), number);
            index = next;
        }
        let each = begin.elapsed() / 20;
        assert!(each < Duration::from_millis(50), "a change takes {each:?}");
        assert_eq!((index.len(), index.find("h7.test", "/api/x").map(|entry| entry.owner)), (10_020, Some(7)));
    }
}
