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
            let begun = publish.then_begin.iter().flat_map(|attempt| &attempt.targets);
            published.extend(publish.versions.iter().map(|version| version.asset.as_str()));
            published.extend(publish.reused.iter().map(|version| version.asset.as_str()));
            published.extend(begun.map(|target| target.asset.as_str()));
        }
    }
    order[start..].sort_by_key(|place| rank(&requests[*place]));
    order
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

    use super::ordered;
    use crate::request::{Request, ToPublish};
    use crate::{NewAttempt, Publish, RunId, Target};

    fn begin(assets: &[&str]) -> NewAttempt {
        let target = |asset: &&str| Target { asset: (*asset).into(), partition_key: String::new() };
        NewAttempt {
            attempt_id: Uuid::nil(),
            run_id: RunId(Uuid::nil()),
            step_key: String::new(),
            number: 1,
            version: Version(Uuid::nil()),
            environment: "main".to_owned(),
            targets: assets.iter().map(target).collect(),
            at: 0,
        }
    }

    /// What each word asks for: `b a` begins `a`, `p a` publishes and then begins `a`.
    fn order_of(words: &[&str]) -> Vec<usize> {
        let requests = words.iter().map(|word| match word.split_once(' ') {
            Some(("b", asset)) => Request::Begin(vec![begin(&[asset])]),
            Some(("p", asset)) => Request::Publish(Arc::new(ToPublish::new(Publish {
                attempt_id: Uuid::nil(),
                run_id: RunId(Uuid::nil()),
                step_key: String::new(),
                environment: "main".to_owned(),
                loaded: Vec::new(),
                outputs: Vec::new(),
                versions: Vec::new(),
                reused: Vec::new(),
                started_at: 0,
                duration_us: 0,
                at: 0,
                then_begin: vec![begin(&[asset])],
            }))),
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
}
