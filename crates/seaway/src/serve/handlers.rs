//! Every kind of job and what recurs.

use std::sync::Arc;

use control::Control;
use domain::{Clock, Entropy};

use crate::configuration::Configuration;

pub fn parts(
    configuration: &Configuration,
    control: &Control,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    owner: String,
) -> jobs::Parts {
    jobs::Parts {
        store: control.store().clone(),
        handlers: jobs::Handlers::default(),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
        limits: jobs::Limits { deployments: configuration.server.deployments_at_once, ..jobs::Limits::default() },
        owner,
    }
}
