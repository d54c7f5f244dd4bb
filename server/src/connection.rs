//! A client's connection, closed so that the client still gets the last answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a client that has its last answer may take to hang up.
const LINGER: Duration = Duration::from_secs(1);

/// A connection that reads on, once all is said, until the client hangs up.
///
/// To close a socket with unread bytes in it (a window update of HTTP/2 is enough) is to reset it (RFC 1122, 4.2.2.13),
/// and a reset takes from the client what it has not read yet: the status that its query ended with. Web servers call
/// the remedy a lingering close.
pub(crate) struct Lingering {
    stream: TcpStream,
    /// Runs from the moment that all is said.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, patience: None }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, patience } = &mut *self;
        let patience = match patience {
            Some(patience) => patience,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
                patience.insert(Box::pin(tokio::time::sleep(LINGER)))
            }
        };
        // First, so that a client that never stops sending does not keep the connection.
        if patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut unread = [0; 4096];
        loop {
            let mut into = ReadBuf::new(&mut unread);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {}
                // It hung up, with an error or without: there is nobody left to tell.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Connected for Lingering {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::{Instant, timeout};

    use super::*;

    async fn pair() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        Ok((client, listener.accept().await?.0))
    }

    #[tokio::test]
    async fn a_client_that_still_sends_gets_the_last_answer() -> io::Result<()> {
        let (mut client, server) = pair().await?;
        let mut server = Lingering::new(server);
        client.write_all(b"unread").await?;
        server.write_all(b"the last answer").await?;
        let closing = tokio::spawn(async move { server.shutdown().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.write_all(b"still sending").await?;

        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert_eq!(answer, "the last answer");
        assert!(!closing.is_finished(), "the server hung up before the client did");
        drop(client);
        closing.await?
    }

    #[tokio::test]
    async fn a_client_that_never_hangs_up_is_left() -> io::Result<()> {
        let (_client, server) = pair().await?;
        let began = Instant::now();
        timeout(10 * LINGER, Lingering::new(server).shutdown()).await??;
        assert!(began.elapsed() >= LINGER, "the client had {:?} to hang up", began.elapsed());
        Ok(())
    }
}
