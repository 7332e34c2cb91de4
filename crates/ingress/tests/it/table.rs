//! Properties of host names and of the table of their owners.

use std::collections::HashMap;

use ingress::{host, routes::HostTable};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,8}[a-zA-Z0-9_])?", 1..5).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn every_spelling_of_a_name_is_one_name(name in name(), dot in any::<bool>(), port in proptest::option::of(any::<u16>()), seed in any::<u64>()) {
        let normal = name.to_ascii_lowercase();
        let mut spelled: String = name.char_indices().map(|(at, letter)| {
            if seed >> (at % 64) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
        }).collect();
        if dot { spelled.push('.'); }
        if let Some(port) = port { spelled.push_str(&format!(":{port}")); }
        let found = host::normalise(&spelled).unwrap();
        prop_assert_eq!(&*found, normal.as_str());
        prop_assert!(host::is_normal(&normal));
    }

    #[test]
    fn normalising_anything_is_safe_and_final(text in "\\PC{0,80}") {
        if let Ok(normal) = host::normalise(&text) {
            prop_assert!(host::is_normal(&normal));
            let again = host::normalise(&normal).unwrap().into_owned();
            prop_assert_eq!(again.as_str(), &*normal);
            prop_assert!(normal.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b'/'));
        }
    }

    /// Against a plain model: a claim is all or nothing, and nobody ever owns another's host.
    #[test]
    fn the_table_keeps_one_owner(steps in proptest::collection::vec((0u8..4, proptest::collection::vec(0u8..8, 0..4), any::<bool>()), 0..60)) {
        let mut table = HostTable::default();
        let mut model: HashMap<String, String> = HashMap::new();
        for (service, hosts, is_claim) in steps {
            let service = format!("s{service}");
            let hosts: Vec<String> = hosts.iter().map(|host| format!("h{host}.test")).collect();
            if is_claim {
                let allowed = hosts.iter().all(|host| model.get(host).is_none_or(|owner| *owner == service));
                prop_assert_eq!(table.claim(&service, &hosts).is_ok(), allowed);
                if allowed {
                    model.extend(hosts.into_iter().map(|host| (host, service.clone())));
                }
            } else {
                table.release(&service, &hosts);
                model.retain(|host, owner| !(hosts.contains(host) && *owner == service));
            }
            prop_assert_eq!(table.len(), model.len());
            for (host, owner) in &model {
                prop_assert_eq!(table.owner(host), Some(owner.as_str()));
            }
        }
    }
}
