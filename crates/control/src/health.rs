//! Health of the instance.

use contract::health::{Health, PartHealth};

use crate::state::Control;

impl Control {
    /// Asks each part; never fails.
    pub async fn health(&self) -> Health {
        let database = match self.store().read().await {
            Ok(_) => PartHealth { name: "database".into(), ok: true, detail: "answers".into() },
            Err(error) => PartHealth { name: "database".into(), ok: false, detail: error.to_string() },
        };
        let vault = match self.keys().sealed_reason() {
            None => PartHealth { name: "vault".into(), ok: true, detail: "open".into() },
            Some(reason) => PartHealth { name: "vault".into(), ok: false, detail: format!("sealed: {reason}") },
        };
        let mut parts = vec![database, vault];
        parts.extend(self.server().health().await.parts.into_iter().map(|part| PartHealth {
            name: part.name,
            ok: part.ok,
            detail: part.detail,
        }));
        Health { ok: parts.iter().all(|part| part.ok), parts }
    }
}
