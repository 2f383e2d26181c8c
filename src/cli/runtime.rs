//! What a command that waits for something runs on.

use std::io;

/// Runs `work` to its end on this thread. What then still waits on another, a disk that does not answer or a read of standard
/// input that nobody waits for any more, must not keep the process.
pub(super) fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(result)
}
