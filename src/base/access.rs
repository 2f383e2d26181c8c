//! Where the lines of the access log go: a queue, and a thread that writes what is in it.
//!
//! `app` starts the [`Writer`] and closes it as the last thing; `proxy` hands lines to [`Lines`], which never waits. A
//! thread and not a task, because writing to a file or a pipe blocks. Bound: [`QUEUE`] lines; beyond, and while nothing
//! can be written, lines are dropped and counted. Nothing that happens to the file ends the process.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::metrics::Registry;

/// Lines that wait to be written.
const QUEUE: usize = 4096;
/// What is written at once; longer than any line.
const BUFFER: usize = 64 << 10;
/// Addresses of clients are nobody else's business.
const MODE: u32 = 0o640;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// The end of a file, which is made if it is not there.
    File(PathBuf),
}

impl fmt::Display for Destination {
    /// As `log.access.to` says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

type Sink = Box<dyn Write + Send>;

impl Destination {
    fn open(&self) -> io::Result<Sink> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => {
                let mut options = OpenOptions::new();
                Box::new(options.append(true).create(true).mode(MODE).open(path)?)
            }
        })
    }
}

/// Takes lines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Message>,
    state: Arc<State>,
}

/// What the writer's thread shares with those who hand it lines.
#[derive(Debug)]
struct State {
    /// Lines that were not written.
    dropped: Counter,
    /// The file is to be opened again. Beside the queue, for a full one must not lose it.
    reopen: AtomicBool,
    /// Nothing more will come.
    closing: AtomicBool,
}

enum Message {
    Line(Vec<u8>),
    /// Something in [`State`] has changed.
    Look,
}

impl Lines {
    /// Hands over a line with its end. Never waits: if the queue is full, the line is dropped and counted.
    pub fn write(&self, line: Vec<u8>) {
        if self.0.queue.try_send(Message::Line(line)).is_err() {
            self.0.state.dropped.inc();
        }
    }

    /// Has the file opened again, for it may have been renamed. What was handed over before goes to the old one.
    pub fn reopen(&self) {
        self.tell(&self.0.state.reopen);
    }

    /// Raises a flag. The thread is waked by a message; if there is no room for one, it is awake, and looks after each.
    fn tell(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::SeqCst);
        drop(self.0.queue.try_send(Message::Look));
    }
}

/// Owns the thread that writes. Dropped without [`Writer::close`], the thread ends with the last [`Lines`].
#[derive(Debug)]
pub struct Writer {
    lines: Lines,
    thread: JoinHandle<()>,
    /// Closed when the thread is done.
    done: oneshot::Receiver<()>,
}

impl Writer {
    /// Opens the destination; then the thread starts.
    pub fn start(destination: Destination, registry: &Registry) -> io::Result<Self> {
        let sink = destination.open()?;
        let dropped = registry.counter(
            "access_log_dropped",
            "Lines of the access log that were not written",
        );
        Self::with_sink(sink, move || destination.open(), dropped)
    }

    fn with_sink(
        sink: Sink,
        open: impl FnMut() -> io::Result<Sink> + Send + 'static,
        dropped: Counter,
    ) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(QUEUE);
        let state = Arc::new(State {
            dropped,
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let (alive, done) = oneshot::channel();
        let writing = Writing {
            sink: BufWriter::with_capacity(BUFFER, sink),
            open,
            failing: false,
            state: Arc::clone(&state),
        };
        let thread = Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                writing.run(&waiting);
                drop::<oneshot::Sender<()>>(alive);
            })?;
        Ok(Self {
            lines: Lines(Arc::new(Inner { queue, state })),
            thread,
            done,
        })
    }

    /// Takes lines for this writer.
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Writes what is in the queue and ends. After `patience` the thread is left behind: it hangs in the write of a file
    /// or pipe that takes nothing.
    pub async fn close(self, patience: Duration) {
        self.lines.tell(&self.lines.0.state.closing);
        if timeout(patience, self.done).await.is_err() {
            tracing::error!("Access log not written to its end");
        } else if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The thread's own.
struct Writing<O> {
    sink: BufWriter<Sink>,
    open: O,
    /// The last write failed, which was logged.
    failing: bool,
    state: Arc<State>,
}

impl<O: FnMut() -> io::Result<Sink>> Writing<O> {
    fn run(mut self, waiting: &Receiver<Message>) {
        while let Ok(first) = waiting.recv() {
            self.take(first);
            self.empty(waiting);
            if self.state.closing.load(Ordering::SeqCst) {
                // Once more, for lines may have come while the last ones were written, all of them before the end.
                self.empty(waiting);
                break;
            }
        }
        self.count_unwritten();
    }

    fn empty(&mut self, waiting: &Receiver<Message>) {
        while let Ok(next) = waiting.try_recv() {
            self.take(next);
        }
        self.flush();
    }

    fn take(&mut self, message: Message) {
        if let Message::Line(line) = message
            && let Err(error) = self.sink.write_all(&line)
        {
            // The buffer is full of older lines, and this one did not get in.
            self.state.dropped.inc();
            self.failed(&error);
        }
        if self.state.reopen.swap(false, Ordering::SeqCst) {
            self.reopen();
        }
    }

    fn flush(&mut self) {
        match self.sink.flush() {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("Access log written again");
            }
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if !self.failing {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "Access log cannot be written");
        }
        self.failing = true;
    }

    /// Goes on in a new file, or in the old one if there is none to be had.
    fn reopen(&mut self) {
        self.flush();
        match (self.open)() {
            Ok(sink) => {
                self.count_unwritten();
                self.sink = BufWriter::with_capacity(BUFFER, sink);
                tracing::info!("Access log opened again");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "Access log cannot be opened again");
            }
        }
    }

    /// Gives up what the sink did not take. It must not be tried once more when the buffer is dropped: half a line may be
    /// in the old file, and the other half means nothing in a new one.
    fn count_unwritten(&mut self) {
        let nowhere: Sink = Box::new(io::sink());
        let old = std::mem::replace(&mut self.sink, BufWriter::with_capacity(0, nowhere));
        let (_, unwritten) = old.into_parts();
        let lines = unwritten.unwrap_or_default();
        let lines = lines.split(|&byte| byte == b'\n').count() - 1;
        self.state.dropped.inc_by(lines as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::base::sync::lock;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A sink that takes a write only after a word from the test, and what was written.
    struct Slow {
        begun: Sender<()>,
        go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _nobody_looks = self.begun.send(());
            let _released = self.go.recv();
            lock(&self.written).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink without room, as long as the flag is up.
    struct Full(Arc<AtomicBool>, Arc<Mutex<Vec<u8>>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            lock(&self.1).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer(sink: impl Write + Send + 'static) -> Writer {
        let none = || Err(io::ErrorKind::NotFound.into());
        Writer::with_sink(Box::new(sink), none, Counter::default()).unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_drops_lines_and_counts_them() {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let ((begun, begins), (release, go)) = (channel(), channel());
        let writer = writer(Slow {
            begun,
            go,
            written: Arc::clone(&written),
        });
        let lines = writer.lines();
        lines.write(b"first\n".to_vec());
        begins.recv_timeout(PATIENCE).unwrap();
        for _ in 0..QUEUE + 3 {
            lines.write(b"next\n".to_vec());
        }
        assert_eq!(lines.0.state.dropped.get(), 3);
        drop(release);
        // The queue is full or not, the end is heard, and what waits is written.
        writer.close(PATIENCE).await;
        assert_eq!(lock(&written).len(), 6 + QUEUE * 5);
        lines.write(b"late\n".to_vec());
        assert_eq!(lines.0.state.dropped.get(), 4);
    }

    #[tokio::test]
    async fn a_sink_that_takes_nothing_does_not_hold_up_the_end() {
        let ((begun, _begins), (_release, go)) = (channel(), channel());
        let written = Arc::default();
        let writer = writer(Slow { begun, go, written });
        writer.lines().write(b"a\n".to_vec());
        writer.close(Duration::from_millis(1)).await;
    }

    #[tokio::test]
    async fn a_failing_sink_keeps_a_buffer_and_heals() {
        let (full, written) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let writer = writer(Full(Arc::clone(&full), Arc::clone(&written)));
        let (lines, line) = (writer.lines(), [&[b'a'; 1023][..], b"\n"].concat());
        // In pieces, so that the queue is never full, and one more than the buffer holds.
        for _ in 0..=BUFFER / line.len() {
            lines.write(line.clone());
        }
        let dropped = &lines.0.state.dropped;
        let counted = async {
            while dropped.get() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, counted).await.unwrap();
        full.store(false, Ordering::SeqCst);
        lines.write(line);
        writer.close(PATIENCE).await;
        assert_eq!((dropped.get(), lock(&written).len()), (1, BUFFER + 1024));
    }

    #[tokio::test]
    async fn what_was_never_written_is_counted_at_the_end() {
        let writer = writer(Full(Arc::new(AtomicBool::new(true)), Arc::default()));
        let lines = writer.lines();
        lines.write(b"a\n".to_vec());
        lines.write(b"b\n".to_vec());
        // There is no other sink to go on in.
        lines.reopen();
        writer.close(PATIENCE).await;
        assert_eq!(lines.0.state.dropped.get(), 2);
    }
}
