use std::collections::HashMap;

const PATHS_MAX: usize = 1000;

#[derive(Default)]
pub struct Visits(HashMap<String, u64>);

impl Visits {
    pub fn count(&mut self, path: &str) -> u64 {
        if self.0.len() >= PATHS_MAX && !self.0.contains_key(path) {
            return 0;
        }
        let count = self.0.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }
}
