//! Where a test may end the process: before and after each step of a deployment, enumerated by [`Step::ALL`].

use domain::deployment::Step;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The intent is written, the effect has not happened.
    AfterIntent,
    /// The effect has happened, the outcome is not written.
    BeforeOutcome,
}

/// Called at every such moment. Product code passes [`NoFaults`].
pub trait Faults: Send + Sync {
    fn at(&self, step: Step, moment: Moment);
}

pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _step: Step, _moment: Moment) {}
}
