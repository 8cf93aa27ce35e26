//! An application that knows HTTP/1.1 and nothing of OAuth, on a plain TCP connection that it keeps.
//!
//! Knows requests octet for octet, and answers with their fields in order and in their own spelling. Does not forgive: a
//! malformed answer is an error.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An application and its connection to one address.
#[derive(Debug)]
pub struct Application {
    address: SocketAddr,
    connection: Option<TcpStream>,
    /// Octets that were read and belong to what comes next.
    ahead: Vec<u8>,
    connections: usize,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields in order, names as they were spelled.
    pub fields: Vec<(String, String)>,
    /// The content, its framing taken off.
    pub body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    /// The first value of a field, whatever the spelling of its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[allow(dead_code, reason = "each end-to-end test takes what it needs")]
impl Application {
    /// One that speaks to `address`; it connects at its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, ahead: Vec::new(), connections: 0 }
    }

    /// How many connections it has opened so far.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// GET, with `Host` and these fields.
    ///
    /// # Errors
    /// As [`Application::raw`].
    pub async fn get(&mut self, target: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        self.request("GET", target, fields, b"").await
    }

    /// POST of a body with its Content-Length.
    ///
    /// # Errors
    /// As [`Application::raw`].
    pub async fn post(&mut self, target: &str, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.request("POST", target, fields, body).await
    }

    /// POST of a body in these chunks.
    ///
    /// # Errors
    /// As [`Application::raw`].
    pub async fn post_chunked(
        &mut self,
        target: &str,
        fields: &[(&str, &str)],
        chunks: &[&[u8]],
    ) -> io::Result<Answer> {
        let mut request = self.head("POST", target, fields);
        request.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in chunks {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        self.raw(&request).await
    }

    /// Any method, with `Host`, these fields, and a Content-Length where there is a body.
    ///
    /// # Errors
    /// As [`Application::raw`].
    pub async fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut request = self.head(method, target, fields);
        if !body.is_empty() || method == "POST" {
            request.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    /// These octets, and the answer to them. A connection that the other side has closed meanwhile is opened again,
    /// before anything is sent.
    ///
    /// # Errors
    /// No connection, one that ends within the answer (`UnexpectedEof`), or an answer that is no HTTP (`InvalidData`).
    pub async fn raw(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        let no_content = request.starts_with(b"HEAD ");
        let answer = self.answer(no_content).await;
        if answer.is_err() {
            self.hang_up();
        }
        answer
    }

    /// Sends octets and does not wait: for half a request, or one that is abandoned.
    ///
    /// # Errors
    /// No connection, or it broke.
    pub async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        if !self.connected() {
            self.hang_up();
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.connection = Some(stream);
            self.connections += 1;
        }
        self.stream()?.write_all(octets).await
    }

    /// Reads the next answer.
    ///
    /// # Errors
    /// As [`Application::raw`].
    pub async fn answer(&mut self, no_content: bool) -> io::Result<Answer> {
        loop {
            let mut answer = self.read_head().await?;
            if (100..200).contains(&answer.status) && answer.status != 101 {
                continue;
            }
            if !no_content && !matches!(answer.status, 101 | 204 | 304) {
                self.read_body(&mut answer).await?;
            }
            if answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                self.hang_up();
            }
            return Ok(answer);
        }
    }

    /// Closes the connection, whatever is under way on it.
    pub fn hang_up(&mut self) {
        self.connection = None;
        self.ahead.clear();
    }

    fn head(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.into_bytes()
    }

    /// Whether there is a connection on which nothing has come in, the end of it included.
    fn connected(&self) -> bool {
        let quiet = |stream: &TcpStream| matches!(stream.try_read(&mut [0; 1]), Err(problem) if problem.kind() == ErrorKind::WouldBlock);
        self.connection.as_ref().is_some_and(quiet)
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        self.connection.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    async fn read_head(&mut self) -> io::Result<Answer> {
        let status_line = self.read_line().await?;
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().filter(|version| version.starts_with("HTTP/1."));
        let status = parts.next().and_then(|status| status.parse().ok());
        let (Some(_), Some(status)) = (version, status) else {
            return Err(malformed(&format!("no status line: {status_line:?}")));
        };
        Ok(Answer { status, fields: self.read_fields().await?, ..Answer::default() })
    }

    async fn read_fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| malformed(&format!("no field: {line:?}")))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// RFC 9112 section 6.3.
    async fn read_body(&mut self, answer: &mut Answer) -> io::Result<()> {
        if answer.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.read_line().await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).map_err(|_| malformed("no chunk size"))?;
                if size == 0 {
                    answer.trailers = self.read_fields().await?;
                    return Ok(());
                }
                answer.body.extend(self.read_exactly(size).await?);
                if !self.read_line().await?.is_empty() {
                    return Err(malformed("a chunk is longer than it says"));
                }
            }
        }
        if let Some(length) = answer.field("content-length") {
            let length = length.parse().map_err(|_| malformed("no content length"))?;
            answer.body = self.read_exactly(length).await?;
            return Ok(());
        }
        while self.read_more().await? > 0 {}
        answer.body = std::mem::take(&mut self.ahead);
        self.hang_up();
        Ok(())
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.ahead.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| malformed("a line is no UTF-8"));
            }
            if self.read_more().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if self.read_more().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; 64 << 10];
        let read = self.stream()?.read(&mut piece).await?;
        self.ahead.extend_from_slice(&piece[..read]);
        Ok(read)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

mod tests {
    use bearward::demo::simulator::{self, AuthorizationServer, ResourceServer, Then};

    use super::*;

    async fn resources(scripted: simulator::Answer) -> (simulator::Simulator, simulator::Resources) {
        let issuer = AuthorizationServer::new().start().await.unwrap();
        let api = ResourceServer::new(&issuer).always("/scripted", scripted).start().await.unwrap();
        (issuer, api)
    }

    fn raw(octets: &'static str) -> simulator::Answer {
        simulator::Answer::raw(octets, Then::Close)
    }

    #[tokio::test]
    async fn the_application_keeps_its_connection_and_the_order_of_fields() {
        let (issuer, api) = resources(simulator::Answer::html()).await;
        let mut application = Application::new(issuer.address());
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let granted = application.post("/token", &form, b"grant_type=client_credentials").await.unwrap();
        let chunks: [&[u8]; 2] = [b"grant_type=", b"client_credentials"];
        assert_eq!(application.post_chunked("/token", &form, &chunks).await.unwrap().status, 200);
        assert_eq!((application.connections(), issuer.connections(), issuer.counts().granted), (1, 1, 2));
        let token = serde_json::from_slice::<serde_json::Value>(&granted.body).unwrap();
        let authorization = format!("Bearer {}", token["access_token"].as_str().unwrap());
        let mut application = Application::new(api.address());
        let zeros = application.get("/zeros/200000", &[("authorization", &authorization)]).await.unwrap();
        assert_eq!(zeros.body.len(), 200_000);
        let head = application.request("HEAD", "/scripted", &[], b"").await.unwrap();
        assert!(head.status == 200 && head.body.is_empty());
        assert!(application.get("/scripted", &[]).await.unwrap().text().starts_with("<!doctype"));
        assert_eq!(application.connections(), 1);
    }

    #[tokio::test]
    async fn the_application_sees_raw_answers_as_they_are() {
        let interim =
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nB: 1\r\na: 2\r\nB: 3\r\n\r\nto the end";
        let (_issuer, api) = resources(raw(interim)).await;
        let answer = Application::new(api.address()).get("/scripted", &[]).await.unwrap();
        let fields: Vec<_> =
            answer.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("B", "1"), ("a", "2"), ("B", "3")]);
        assert_eq!(answer.text(), "to the end");
    }

    #[tokio::test]
    async fn the_application_notices_a_cut_answer_and_one_that_is_none() {
        for (answer, expected) in [
            (simulator::Answer::cut(), ErrorKind::UnexpectedEof),
            (raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"), ErrorKind::UnexpectedEof),
            (raw("SSH-2.0-x\r\n"), ErrorKind::InvalidData),
            (simulator::Answer::reset(), ErrorKind::ConnectionReset),
        ] {
            let (_issuer, api) = resources(answer).await;
            let problem = Application::new(api.address()).get("/scripted", &[]).await.unwrap_err();
            assert_eq!(problem.kind(), expected);
        }
    }
}
