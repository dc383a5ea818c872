//! Destinations that are left alone for a moment, because they could not be reached just now.
//!
//! A long queue for a dead destination comes in many pages; without this each page would wait for another attempt to fail,
//! and everybody else behind it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::channel::Undelivered;

/// ARN of a topic, and the ID of a destination in it.
pub(super) type Place = (String, String);

/// Until when (time since boot) destinations rest, and why.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<BTreeMap<Place, (Duration, Undelivered)>>);

impl Resting {
    /// Leaves a destination alone until then. Those whose rest is over by `now` are forgotten.
    pub(super) fn begin(&self, place: Place, now: Duration, until: Duration, why: Undelivered) {
        let mut places = self.places();
        places.retain(|_, (until, _)| *until > now);
        places.insert(place, (until, why));
    }

    /// Returns why a destination is left alone now, if it is.
    pub(super) fn why(&self, place: &Place, now: Duration) -> Option<Undelivered> {
        let places = self.places();
        places.get(place).filter(|(until, _)| *until > now).map(|(_, why)| why.clone())
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<Place, (Duration, Undelivered)>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
