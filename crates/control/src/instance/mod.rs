//! The instance: its set-up by the first person, and its settings.

mod set_up;
mod settings;

use contract::instance::{Instance, InstanceLimits, SignUpMode};
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
}

impl Settings {
    fn of(row: &InstanceRow) -> Self {
        serde_json::from_value(row.settings.0.clone()).unwrap_or_default()
    }
}

fn shown(row: &InstanceRow) -> Instance {
    let settings = Settings::of(row);
    Instance {
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
