//! For tests only: `SEAWAY_TEST_KILL_AT=<step>:<after_intent|before_outcome>` ends the process, as `kill -9` would, when a
//! deployment reaches that moment for the first time.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use control::deployments::{Faults, Moment, NoFaults};
use domain::deployment::Step;
use rustix::process::{Signal, getpid, kill_process};

const VARIABLE: &str = "SEAWAY_TEST_KILL_AT";

struct KillAt {
    step: Step,
    moment: Moment,
}

impl Faults for KillAt {
    fn at(&self, step: Step, moment: Moment) {
        if step == self.step && moment == self.moment {
            tracing::warn!("{VARIABLE}: the process kills itself now");
            let _ends_here = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// # Errors
/// A value that names no moment.
pub fn from_environment() -> Result<Arc<dyn Faults>> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => {
            tracing::warn!("{VARIABLE} is set: this process will kill itself; never set it outside of a test");
            Ok(Arc::new(parse(&text)?))
        }
        _ => Ok(Arc::new(NoFaults)),
    }
}

fn parse(text: &str) -> Result<KillAt> {
    let (step, moment) = text.split_once(':').with_context(|| format!("{VARIABLE} is <step>:<after_intent|before_outcome>"))?;
    let step = store::of_text(step).map_err(|error| anyhow::anyhow!("{VARIABLE}: no such step: {error}"))?;
    let moment = match moment {
        "after_intent" => Moment::AfterIntent,
        "before_outcome" => Moment::BeforeOutcome,
        other => bail!("{VARIABLE}: {other:?} is neither after_intent nor before_outcome"),
    };
    Ok(KillAt { step, moment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_and_moment_has_a_name() {
        for step in Step::ALL {
            let name = store::text_of(&step).unwrap();
            for moment in ["after_intent", "before_outcome"] {
                assert_eq!(parse(&format!("{name}:{moment}")).unwrap().step, step);
            }
        }
        assert!(parse("nowhere:after_intent").is_err() && parse("build").is_err() && parse("build:never").is_err());
    }
}
