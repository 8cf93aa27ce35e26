//! hyper's tasks on the thread that makes them.
//!
//! Knows tokio's local tasks. Does not know what the tasks do.

use hyper::rt::Executor;

/// Runs hyper's tasks on the worker's own thread. Needs a tokio `LocalRuntime` or `LocalSet` around it.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
