//! Which fault befalls which request: a pure function, so that a run can be repeated.

use icefield_protocol::Operation;

use super::{Asked, Refusal};
use crate::random::Random;

/// A moment of an exchange. What was to be passed on until then has been passed on, and nothing after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The head of the request has come; the upstream has heard nothing.
    HeadCame,
    /// This share of the request's body has been passed on, of 65,536; of the head, if there is no body.
    InRequest(u16),
    /// All of the request but its last byte has been passed on.
    LastByteOfRequest,
    /// The request has been passed on whole; nobody waits for the answer.
    RequestPassed,
    /// The upstream has answered; the client has heard nothing.
    AnswerCame,
    /// This share of the answer has been passed on, of 65,536: of the body, or of the head if there is no body.
    InAnswer(u16),
    /// All of the answer but its last byte has been passed on.
    LastByteOfAnswer,
    /// The answer has been passed on whole.
    AnswerPassed,
}

impl Moment {
    /// Whether it comes before the request has been passed on whole and an answer is waited for.
    pub(super) const fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::HeadCame | Self::InRequest(_) | Self::LastByteOfRequest | Self::RequestPassed
        )
    }
}

/// What is done to a request or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both connections are cut.
    Cut(Moment),
    /// Nothing goes on until `answers` other exchanges have ended or nothing else is under way, then both are cut.
    Stalled {
        /// When it stops.
        at: Moment,
        /// How many others end meanwhile.
        answers: u64,
    },
    /// Nothing goes on until [`Proxy::release`](super::Proxy::release), then both are cut.
    Held(Moment),
    /// The proxy answers and passes nothing on.
    Refused {
        /// Its answer.
        refusal: Refusal,
        /// Whether it answers before it has read the body; it closes the connection then.
        early: bool,
    },
    /// The request is passed on and answered; the client gets this instead of the answer.
    Replaced(Refusal),
    /// One bit is another one, at this share of the body of a downloaded archive, of 65,536.
    Flipped(u16),
    /// Request and answer pass in pieces of a byte, then of a few.
    Trickled,
}

/// Decides on the fault of each request.
///
/// # Contract
///
/// The answer depends on the arguments alone.
pub trait Plan: Send + Sync + 'static {
    /// Returns the fault of the request `number`, counted from 0 over all connections.
    fn fault(&self, number: u64, asked: &Asked) -> Option<Fault>;
}

impl<F: Fn(u64, &Asked) -> Option<Fault> + Send + Sync + 'static> Plan for F {
    fn fault(&self, number: u64, asked: &Asked) -> Option<Fault> {
        self(number, asked)
    }
}

/// Every kind of fault, at random.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// What the choices follow from.
    pub seed: u64,
    /// How many of a hundred requests something happens to.
    pub percent: u64,
}

impl Plan for Storm {
    fn fault(&self, number: u64, asked: &Asked) -> Option<Fault> {
        let mut random = Random::of(self.seed, number);
        if random.within(0..100) >= self.percent {
            return None;
        }
        let share = share(&mut random);
        let kind = random.within(
            0..if asked.operation == Some(Operation::GetJobOutput) {
                KINDS + DOWNLOADS
            } else {
                KINDS
            },
        );
        Some(match kind {
            0..4 => Fault::Cut(*random.choice(&[
                Moment::HeadCame,
                Moment::InRequest(share),
                Moment::LastByteOfRequest,
                Moment::RequestPassed,
            ])),
            4..8 => Fault::Cut(*random.choice(&[
                Moment::AnswerCame,
                Moment::InAnswer(share),
                Moment::LastByteOfAnswer,
                Moment::AnswerPassed,
            ])),
            8..10 => Fault::Stalled {
                at: *random.choice(&[
                    Moment::HeadCame,
                    Moment::InRequest(share),
                    Moment::RequestPassed,
                    Moment::AnswerCame,
                    Moment::InAnswer(share),
                ]),
                answers: random.within(1..4),
            },
            10..15 => Fault::Refused {
                refusal: random.choice(&Refusal::passing()).clone(),
                early: random.within(0..2) == 0,
            },
            15..17 => Fault::Replaced(
                random.choice(&[Refusal::internal(), Refusal::unavailable(None)]).clone(),
            ),
            17 => Fault::Trickled,
            18..20 => Fault::Flipped(share),
            _ => Fault::Cut(Moment::InAnswer(share)),
        })
    }
}

/// Weights of the kinds in [`Storm`], and of those that befall only downloads.
const KINDS: u64 = 18;
const DOWNLOADS: u64 = 4;

/// Anywhere, and more often at the ends than chance would have it.
fn share(random: &mut Random) -> u16 {
    let anywhere = u16::try_from(random.within(0..1 << 16)).expect("it is below 65,536");
    match random.within(0..8) {
        0 => 0,
        1 => u16::MAX,
        _ => anywhere,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Asked, Fault, Plan as _, Storm};

    fn asked(method: &str, target: &str) -> Asked {
        Asked::new(method, target, Vec::new())
    }

    #[test]
    fn a_seed_gives_its_faults_again_in_any_order() {
        let storm = Storm { seed: 5, percent: 50 };
        let part = asked("PUT", "/-/vaults/v/multipart-uploads/u");
        let there: Vec<_> = (0..200).map(|number| storm.fault(number, &part)).collect();
        let mut back: Vec<_> = (0..200).rev().map(|number| storm.fault(number, &part)).collect();
        back.reverse();
        assert_eq!(there, back);
        let other = Storm { seed: 6, percent: 50 };
        assert_ne!(there, (0..200).map(|number| other.fault(number, &part)).collect::<Vec<_>>());
    }

    #[test]
    fn as_many_are_hit_as_was_asked_for_and_by_every_kind() {
        let storm = Storm { seed: 1, percent: 30 };
        let output = asked("GET", "/-/vaults/v/jobs/j/output");
        let faults: Vec<_> = (0..10_000).filter_map(|n| storm.fault(n, &output)).collect();
        assert!((2_800..3_200).contains(&faults.len()), "{}", faults.len());
        let kinds: BTreeSet<_> = faults
            .iter()
            .map(|fault| match fault {
                Fault::Refused { refusal, .. } => format!("refused {}", refusal.status),
                Fault::Cut(moment) | Fault::Stalled { at: moment, .. } => {
                    format!("{moment:?}").split('(').next().unwrap().to_owned()
                }
                other => format!("{other:?}").split('(').next().unwrap().to_owned(),
            })
            .collect();
        for kind in ["Flipped", "Trickled", "Replaced", "LastByteOfRequest", "LastByteOfAnswer"] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
        for status in [400, 408, 429, 500, 502, 503, 504] {
            assert!(kinds.contains(&format!("refused {status}")), "{kinds:?}");
        }
    }

    #[test]
    fn only_downloads_are_damaged() {
        let storm = Storm { seed: 2, percent: 100 };
        let part = asked("PUT", "/-/vaults/v/multipart-uploads/u");
        let faults = (0..10_000).filter_map(|number| storm.fault(number, &part));
        assert!(faults.into_iter().all(|fault| !matches!(fault, Fault::Flipped(_))));
    }
}
