//! Mail: composed and sealed before the unit that causes it, a row of that unit, sent by a job after the commit.
//!
//! In a use case: `let letter = self.letter(…).await?;` before the unit is opened, `self.post(&mut write, letter).await?` in it.

mod deliver;
mod outbox;

pub use deliver::{DeliverMail, KIND, deliver};
pub use outbox::{Addressee, Letter};
