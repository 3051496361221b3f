//! The single writer: takes what has come in, commits it at once, and answers.

use tokio::sync::{mpsc, oneshot};

use crate::memory::Memory;
use crate::request::{Reply, Request};
use crate::storage::Storage;
use crate::{Error, Result};

/// Requests that may wait; senders wait when there are more.
const QUEUE: usize = 4096;
/// Requests that are committed together.
const GROUP: usize = 512;

pub(crate) type Waiting = (Request, oneshot::Sender<Result<Reply>>);

/// A handle to whatever writes.
#[derive(Debug, Clone)]
pub(crate) enum Writer {
    /// A task, which commits many requests at once; it ends when the last handle is dropped.
    Task(mpsc::Sender<Waiting>),
    /// Memory, which has nothing to wait for, so that nobody need be woken.
    Memory(Memory),
}

impl Writer {
    pub(crate) fn spawn(storage: impl Storage + 'static) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(work(storage, waiting));
        Self::Task(queue)
    }

    /// Returns when the request is durable, or refused.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply> {
        match self {
            Self::Task(queue) => {
                if let Request::Publish(publish) = &request {
                    // Here, where many do it beside each other, and not in the one writer.
                    publish.rows()?;
                }
                let (answer, answered) = oneshot::channel();
                queue.send((request, answer)).await.map_err(|_| Error::Closed)?;
                answered.await.map_err(|_| Error::Closed)?
            }
            Self::Memory(memory) => Ok(memory.apply_one(&request)),
        }
    }

    /// Returns when the request has its place in the queue; later requests come after it.
    pub(crate) async fn enqueue(&self, request: Request) -> Result<()> {
        match self {
            Self::Task(queue) => {
                let (answer, _) = oneshot::channel();
                queue.send((request, answer)).await.map_err(|_| Error::Closed)
            }
            Self::Memory(memory) => {
                memory.apply_one(&request);
                Ok(())
            }
        }
    }
}

/// Takes what has come in and, as long as more comes, what comes in meanwhile: a transaction costs as
/// much as a dozen requests, so that those who are about to ask had better be waited for. Returns how
/// many there are; none when nobody can ask any more.
async fn gather(waiting: &mut mpsc::Receiver<Waiting>, group: &mut Vec<Waiting>) -> usize {
    let mut count = waiting.recv_many(group, GROUP).await;
    while count > 0 && count < GROUP {
        // Whoever is ready to run here goes first; if nobody is, this goes on at once.
        tokio::task::yield_now().await;
        while group.len() < GROUP
            && let Ok(request) = waiting.try_recv()
        {
            group.push(request);
        }
        if group.len() == count {
            break;
        }
        count = group.len();
    }
    count
}

async fn work(mut storage: impl Storage, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP);
    while gather(&mut waiting, &mut group).await > 0 {
        let (requests, answers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        match storage.apply(&requests).await {
            Ok(replies) => {
                for (answer, reply) in answers.into_iter().zip(replies) {
                    // A sender that no longer waits was cancelled; its request stands.
                    drop(answer.send(Ok(reply)));
                }
            }
            // What may have happened must not happen twice.
            Err(Error::Lost) => {
                for answer in answers {
                    drop(answer.send(Err(Error::Lost)));
                }
            }
            // One bad request must not fail its neighbours, so each is tried alone.
            Err(_) if requests.len() > 1 => {
                for (request, answer) in requests.into_iter().zip(answers) {
                    let reply = storage.apply(&[request]).await;
                    drop(answer.send(reply.map(|mut replies| replies.remove(0))));
                }
            }
            Err(error) => {
                if let Some(answer) = answers.into_iter().next() {
                    drop(answer.send(Err(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use uuid::Uuid;

    use super::Writer;
    use crate::request::{Reply, Request};
    use crate::storage::Storage;
    use crate::{Result, RunId};

    /// How many requests each transaction had.
    #[derive(Debug, Clone, Default)]
    struct Groups(Arc<Mutex<Vec<usize>>>);

    #[async_trait]
    impl Storage for Groups {
        async fn apply(&mut self, requests: &[Request]) -> Result<Vec<Reply>> {
            self.0.lock().expect("no panic").push(requests.len());
            Ok(vec![Reply::Done; requests.len()])
        }
    }

    async fn send(writer: Writer) {
        let request = Request::Renew { run_id: RunId(Uuid::nil()), lease_until: 0 };
        writer.send(request).await.expect("an answer");
    }

    #[tokio::test]
    async fn who_is_about_to_ask_is_waited_for_and_nobody_else_is() {
        let groups = Groups::default();
        let writer = Writer::spawn(groups.clone());
        // The writer is woken by the first, and so runs before the others.
        let mut first = std::pin::pin!(send(writer.clone()));
        tokio::select! {
            biased;
            () = &mut first => {}
            () = std::future::ready(()) => {}
        }
        let others: Vec<_> = (0..9).map(|_| tokio::spawn(send(writer.clone()))).collect();
        first.await;
        for other in others {
            other.await.expect("sent");
        }
        send(writer).await;
        assert_eq!(*groups.0.lock().expect("no panic"), [10, 1]);
    }
}
