//! A place where nobody answers.

use tokio::net::TcpSocket;

/// A port on loopback that nobody listens on, and that nobody else gets while this lives: the system gives the port of a
/// listener that was merely dropped to the next test that asks for one.
#[derive(Debug)]
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    /// Its URL, without a path.
    pub fn origin(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}
