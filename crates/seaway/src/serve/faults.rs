//! For tests only: `SEAWAY_TEST_KILL_AT=<step>:<after_intent|before_outcome>` ends the process at a moment of a deployment.
