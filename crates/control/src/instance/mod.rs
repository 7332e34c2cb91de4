//! The instance: its set-up by the first person, and its settings.

mod set_up;
mod settings;

use std::collections::BTreeSet;

pub(crate) use settings::operator;

use contract::instance::{Feature, FeatureState, Instance, InstanceLimits, SignUpMode};
use serde::{Deserialize, Serialize};
use store::instance::{InstanceRow, SignUp};

const NAME_DEFAULT: &str = "Seaway";

/// What stands in `instance_settings.settings`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    name: Option<String>,
    analytics: bool,
    limits: InstanceLimits,
    features_off: BTreeSet<Feature>,
    audit_days: Option<u32>,
}

impl Settings {
    fn of(row: &InstanceRow) -> Self {
        serde_json::from_value(row.settings.0.clone()).unwrap_or_default()
    }
}

/// `fixed`: what the configuration switches off.
fn shown(row: &InstanceRow, fixed: &BTreeSet<Feature>) -> Instance {
    let settings = Settings::of(row);
    let state = |feature: Feature| {
        let fixed = fixed.contains(&feature);
        (feature, FeatureState { on: !fixed && !settings.features_off.contains(&feature), fixed })
    };
    Instance {
        features: Feature::ALL.into_iter().map(state).collect(),
        audit_days: settings.audit_days,
        name: settings.name.unwrap_or_else(|| NAME_DEFAULT.to_owned()),
        sign_up: mode(row.sign_up),
        analytics: settings.analytics,
        limits: settings.limits,
    }
}

fn mode(sign_up: SignUp) -> SignUpMode {
    match sign_up {
        SignUp::Open => SignUpMode::Open,
        SignUp::Invitation => SignUpMode::Invitation,
        SignUp::Closed => SignUpMode::Closed,
    }
}

fn stored(mode: SignUpMode) -> SignUp {
    match mode {
        SignUpMode::Open => SignUp::Open,
        SignUpMode::Invitation => SignUp::Invitation,
        SignUpMode::Closed => SignUp::Closed,
    }
}
