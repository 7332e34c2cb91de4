//! Long polls: who waits for the end of a deployment, run or operation is woken by the process that writes it, and asks by
//! itself only once a second, for what another process ends.

use std::time::Duration;

use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;
use uuid::Uuid;

/// The longest that a reader may wait.
const WAIT_SECONDS_MAX: u32 = 60;
/// How often a waiting reader asks, when nobody wakes it.
const POLL: Duration = Duration::from_secs(1);
/// Readers that may wait at a time; more are answered after [`CROWDED_PAUSE`], and ask again.
const WAITERS_MAX: usize = 200;
const CROWDED_PAUSE: Duration = Duration::from_secs(2);
/// Ends that a slow waiter may be behind before it asks by itself.
const BEHIND_MAX: usize = 256;

pub(crate) struct Wakes {
    ended: broadcast::Sender<Uuid>,
    places: Semaphore,
    poll: Duration,
    crowded_pause: Duration,
}

impl Default for Wakes {
    fn default() -> Self {
        Self { ended: broadcast::channel(BEHIND_MAX).0, places: Semaphore::new(WAITERS_MAX), poll: POLL, crowded_pause: CROWDED_PAUSE }
    }
}

impl Wakes {
    /// It has ended: whoever waits for it looks again. Call it after the commit.
    pub fn wake(&self, id: Uuid) {
        // Nobody waits: nobody to tell.
        let _ = self.ended.send(id);
    }

    /// Waits until `ended` says so, at most so many seconds. What is `None` or 0 does not wait and asks nothing.
    pub async fn wait<E>(&self, id: Uuid, seconds: Option<u32>, mut ended: impl AsyncFnMut() -> Result<bool, E>) -> Result<(), E> {
        let seconds = seconds.unwrap_or(0).min(WAIT_SECONDS_MAX);
        if seconds == 0 {
            return Ok(());
        }
        // Listening begins before the first look: an end in between is not missed.
        let mut wakes = self.ended.subscribe();
        let until = Instant::now() + Duration::from_secs(u64::from(seconds));
        if ended().await? {
            return Ok(());
        }
        let Ok(_place) = self.places.try_acquire() else {
            tokio::time::sleep_until(until.min(Instant::now() + self.crowded_pause)).await;
            return Ok(());
        };
        while Instant::now() < until {
            tokio::select! {
                () = woken(&mut wakes, id) => {}
                () = tokio::time::sleep_until(until.min(Instant::now() + self.poll)) => {}
            }
            if ended().await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

async fn woken(wakes: &mut broadcast::Receiver<Uuid>, id: Uuid) {
    loop {
        match wakes.recv().await {
            Ok(ended) if ended == id => return,
            Ok(_) => {}
            // It may have been among those that were missed.
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    const ID: Uuid = Uuid::from_u128(1);
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_waiter_asks_once_per_poll() {
        let wakes = Wakes { poll: Duration::from_millis(200), ..Wakes::default() };
        let asked = Cell::new(0);
        let ended = async || {
            asked.set(asked.get() + 1);
            Ok::<_, Infallible>(false)
        };
        let Ok(()) = wakes.wait(ID, Some(1), ended).await;
        assert!((2..=6).contains(&asked.get()), "{} times in a second", asked.get());
        asked.set(0);
        let Ok(()) = wakes.wait(ID, None, ended).await;
        assert_eq!(asked.get(), 0, "without a wait nothing is asked");
    }

    #[tokio::test]
    async fn an_end_wakes_those_who_wait_for_it_at_once() {
        let wakes = Wakes { poll: NEVER, ..Wakes::default() };
        let (over, asked) = (Cell::new(false), Cell::new(0));
        let waiter = wakes.wait(ID, Some(60), async || {
            asked.set(asked.get() + 1);
            Ok::<_, Infallible>(over.get())
        });
        // Polled after the waiter, which listens by then.
        let end = async {
            wakes.wake(Uuid::from_u128(2));
            tokio::task::yield_now().await;
            over.set(true);
            wakes.wake(ID);
        };
        let both = async { tokio::join!(biased; waiter, end) };
        let (Ok(()), ()) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
        assert_eq!(asked.get(), 2);
    }

    #[tokio::test]
    async fn too_many_waiters_are_sent_away_and_not_polled_for() {
        let wakes = Wakes { poll: Duration::ZERO, crowded_pause: Duration::from_millis(10), ..Wakes::default() };
        let asked = Cell::new(0);
        let _all = wakes.places.acquire_many(u32::try_from(WAITERS_MAX).unwrap()).await.unwrap();
        let waiter = wakes.wait(ID, Some(60), async || {
            asked.set(asked.get() + 1);
            Ok::<_, Infallible>(false)
        });
        let Ok(()) = tokio::time::timeout(Duration::from_secs(30), waiter).await.unwrap();
        assert_eq!(asked.get(), 1);
    }
}
