//! In which order the requests of a transaction are carried out, so that those that are alike come
//! together and share their statements.

use std::collections::HashSet;

use crate::request::Request;

/// The places of requests. Attempts that begin, and what is only remembered, come before publishes
/// that they have nothing to do with; everything else stays where it is.
///
/// All of them are sent by tasks that do not wait for each other, so that this order might have been
/// the one in which they came.
pub(super) fn ordered(requests: &[Request]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    let mut start = 0;
    let mut published = HashSet::new();
    for (at, request) in requests.iter().enumerate() {
        let stays = match request {
            Request::Begin(attempts) => attempts
                .iter()
                .flat_map(|attempt| &attempt.targets)
                .any(|target| published.contains(target.asset.as_str())),
            _ => rank(request).is_none(),
        };
        if stays {
            order[start..at].sort_by_key(|place| rank(&requests[*place]));
            start = at + 1;
            published.clear();
        } else if let Request::Publish(publish) = request {
            published.extend(publish.assets());
        }
    }
    order[start..].sort_by_key(|place| rank(&requests[*place]));
    order
}

/// How many of these publishes, from the first, make different tables current: what the first of two for
/// the same table has done must be seen by the second.
pub(super) fn disjoint(requests: &[&Request]) -> usize {
    let mut seen = HashSet::new();
    let mut assets = requests.iter().map(|request| match request {
        Request::Publish(publish) => publish.assets().collect(),
        _ => Vec::new(),
    });
    let clash = assets.position(|assets| {
        let again = assets.iter().any(|asset| seen.contains(asset));
        seen.extend(assets);
        again
    });
    clash.unwrap_or(requests.len())
}

/// What comes first; `None` for what stays where it is.
fn rank(request: &Request) -> Option<u8> {
    match request {
        Request::RememberDigests(_) => Some(0),
        Request::RememberCode { .. } => Some(1),
        Request::Begin(_) => Some(2),
        Request::Publish(_) => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrowsmith_io_manager::Version;
    use uuid::Uuid;

    use super::{disjoint, ordered};
    use crate::request::{Request, ToPublish};
    use crate::{NewAttempt, Publish, ReusedVersion, RunId, Target};

    fn begin(asset: &str) -> NewAttempt {
        let target = Target { asset: asset.into(), partition_key: String::new() };
        NewAttempt {
            attempt_id: Uuid::nil(),
            run_id: RunId(Uuid::nil()),
            step_key: String::new(),
            number: 1,
            version: Version(Uuid::nil()),
            environment: "main".to_owned(),
            targets: vec![target],
            at: 0,
        }
    }

    fn publish(asset: &str) -> Request {
        let (version, partitions) = (Version(Uuid::nil()), Vec::new());
        let asset_of = asset.to_owned();
        let reused =
            ReusedVersion { asset: asset_of, version, partitions, row_count: 0, size_bytes: 0 };
        Request::Publish(Arc::new(ToPublish::new(Publish {
            attempt: Arc::new(begin(asset)),
            begins: false,
            loaded: Vec::new(),
            outputs: Vec::new(),
            versions: Vec::new(),
            reused: vec![reused],
            duration_us: 0,
            at: 0,
        })))
    }

    /// What each word asks for: `b a` begins an attempt for `a`, `p a` publishes one.
    fn order_of(words: &[&str]) -> Vec<usize> {
        let requests = words.iter().map(|word| match word.split_once(' ') {
            Some(("b", asset)) => Request::Begin(vec![begin(asset)]),
            Some(("p", asset)) => publish(asset),
            _ if *word == "digests" => Request::RememberDigests(Vec::new()),
            _ => Request::EndSteps(Vec::new()),
        });
        ordered(&requests.collect::<Vec<_>>())
    }

    #[test]
    fn those_that_are_alike_come_together() {
        assert_eq!(order_of(&["b a", "p a", "b b", "p b"]), [0, 2, 1, 3]);
        assert_eq!(order_of(&["p a", "digests", "b b", "p b", "digests"]), [1, 4, 2, 0, 3]);
    }

    #[test]
    fn nothing_passes_what_it_depends_on() {
        assert_eq!(order_of(&["p a", "b a", "p c", "b b"]), [0, 1, 3, 2], "the same asset");
        assert_eq!(order_of(&["p a", "end", "b b"]), [0, 1, 2], "the end of something");
        assert_eq!(order_of(&["b a", "end", "digests", "p b", "b c"]), [0, 1, 2, 4, 3]);
    }

    #[test]
    fn what_makes_the_same_table_current_shares_no_statement() {
        let of = |assets: &[&str]| {
            let requests: Vec<Request> = assets.iter().map(|asset| publish(asset)).collect();
            disjoint(&requests.iter().collect::<Vec<_>>())
        };
        assert_eq!(of(&["a", "b", "c"]), 3);
        assert_eq!(of(&["a", "b", "a", "c"]), 2);
        assert_eq!(of(&["a", "a"]), 1);
    }
}
