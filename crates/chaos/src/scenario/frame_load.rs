//! A load generator that needs very little CPU time per call: it sends HTTP/2 frames that were encoded once, and classifies answers by
//! their frames alone. Another client could not send ten times the capacity of the service.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Maximum time that a call waits for its answer.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum time that a call waits until its connection has room for it. A call that waits longer could not be answered in time by
/// any server.
const SEND_TIMEOUT: Duration = Duration::from_millis(200);
const TICK_INTERVAL: Duration = Duration::from_millis(10);
/// Answers that arrive within this time after the last call still count.
const ANSWER_GRACE_TIME: Duration = Duration::from_millis(1_200);
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_LENGTH: usize = 9;
const INITIAL_WINDOW: i64 = 65_535;
/// Number of streams before the server has sent its limit: most gRPC clients wait for it.
const INITIAL_MAX_STREAMS: usize = 0;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const CANCEL: u32 = 8;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// The call that is repeated, encoded.
#[derive(Clone)]
pub(super) struct FrameLoad {
    address: SocketAddr,
    first: Vec<u8>,
    next: Vec<u8>,
    message: Vec<u8>,
}

/// The times at which a connection makes calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrival {
    /// This number of callers, each of which waits for an answer before its next call (closed loop).
    Closed(usize),
    /// This number of calls per second, independent of the answers (open loop).
    Open(f64),
}

/// The outcomes of calls.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Number of calls that were due.
    pub(super) offered: u64,
    /// Time of each call that succeeded before the deadline.
    pub(super) good: Vec<Duration>,
    /// Time of each call that was refused.
    pub(super) refused: Vec<Duration>,
    /// Number of calls that were sent and not answered before the deadline.
    pub(super) expired: u64,
    /// Number of calls that were not sent in time, because the server limits the calls of a connection.
    pub(super) unsent: u64,
    /// Number of streams that the server reset.
    pub(super) reset: u64,
    /// Number of connections that the server closed.
    pub(super) cut: u64,
}

impl FrameLoad {
    /// Encodes a call of a method of AccessTokenService.
    pub(super) fn new(address: SocketAddr, session: &str, method: &str, message: &[u8]) -> Self {
        let fields = [
            (":authority", "volley".to_owned()),
            (":path", format!("/accesstoken.v1.AccessTokenService/{method}")),
            ("content-type", "application/grpc".to_owned()),
            ("te", "trailers".to_owned()),
            ("grpc-timeout", format!("{}m", (CALL_TIMEOUT - SEND_TIMEOUT).as_millis())),
            ("authorization", format!("Bearer {session}")),
        ];
        // POST and http are in the static table of HPACK. The first call adds the other fields to the dynamic table, the last one
        // on top.
        let (mut first, mut next) = (vec![0x83, 0x86], vec![0x83, 0x86]);
        for (place, (name, value)) in fields.iter().enumerate() {
            first.push(0x40);
            literal(&mut first, name);
            literal(&mut first, value);
            next.push(0x80 | (62 + fields.len() - 1 - place) as u8);
        }
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        Self { address, first, next, message: framed }
    }

    /// Makes calls over this number of connections for this time.
    pub(super) async fn run_load(&self, connections: usize, arrival: Arrival, time: Duration) -> Tally {
        let mut lines = JoinSet::new();
        for number in 0..connections {
            let load = self.clone();
            lines.spawn(async move {
                // Spreads the connections over one tick.
                tokio::time::sleep(TICK_INTERVAL * number as u32 / connections as u32).await;
                Connection::new(load, arrival).run(Instant::now() + time).await
            });
        }
        let mut all = Tally::default();
        for tally in lines.join_all().await {
            all.offered += tally.offered;
            all.good.extend(tally.good);
            all.refused.extend(tally.refused);
            all.expired += tally.expired;
            all.unsent += tally.unsent;
            all.reset += tally.reset;
            all.cut += tally.cut;
        }
        all
    }
}

/// Appends an HPACK string without Huffman coding.
fn literal(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(rest as u8);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(rest as u8 | 128);
            rest >>= 7;
        }
        block.push(rest as u8);
    }
    block.extend(text.as_bytes());
}

fn frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    output.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    output.extend([kind, flags]);
    output.extend(stream.to_be_bytes());
    output.extend(payload);
}

/// A call in progress.
struct Call {
    due: Instant,
    data: bool,
    over: bool,
}

/// A connection.
struct Connection {
    load: FrameLoad,
    arrival: Arrival,
    began: Instant,
    tally: Tally,
    /// Times at which calls were due that are not sent yet.
    waiting: VecDeque<Instant>,
    /// Calls in the order of their streams, from the oldest unfinished one on.
    calls: VecDeque<Call>,
    /// Stream of the first of them.
    first: u32,
    open: usize,
    streams: usize,
    window: i64,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Connection {
    fn new(load: FrameLoad, arrival: Arrival) -> Self {
        let (tally, waiting, calls) = (Tally::default(), VecDeque::new(), VecDeque::new());
        let (input, output) = (Vec::new(), Vec::new());
        let began = Instant::now();
        Self {
            load,
            arrival,
            began,
            tally,
            waiting,
            calls,
            first: 1,
            open: 0,
            streams: INITIAL_MAX_STREAMS,
            window: 0,
            input,
            output,
        }
    }

    async fn run(mut self, end: Instant) -> Tally {
        while Instant::now() < end + ANSWER_GRACE_TIME {
            if self.connected(end).await.is_err() {
                self.tally.cut += 1;
                tokio::time::sleep(RECONNECT_DELAY).await;
            }
        }
        self.tally.unsent += self.waiting.len() as u64;
        self.tally
    }

    async fn connected(&mut self, end: Instant) -> io::Result<()> {
        let stream = TcpStream::connect(self.load.address).await?;
        stream.set_nodelay(true)?;
        self.tally.expired += self.open as u64;
        (self.first, self.open, self.streams, self.window) = (1, 0, INITIAL_MAX_STREAMS, INITIAL_WINDOW);
        self.calls.clear();
        self.input.clear();
        self.output.clear();
        self.output.extend(PREFACE);
        frame(&mut self.output, SETTINGS, 0, 0, &[]);
        frame(&mut self.output, WINDOW_UPDATE, 0, 0, &(i32::MAX - INITIAL_WINDOW as i32).to_be_bytes());
        let mut ticks = tokio::time::interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                ready = stream.readable() => { ready?; self.read(&stream)?; }
                ready = stream.writable(), if !self.output.is_empty() => ready?,
                _ = ticks.tick() => {}
            }
            let now = Instant::now();
            self.expire(now);
            if now < end {
                self.arrive();
                self.send();
            } else if self.open == 0 || now > end + ANSWER_GRACE_TIME {
                return Ok(());
            }
            self.write(&stream)?;
        }
    }

    fn read(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut buffer = [0; 1 << 14];
        loop {
            match stream.try_read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let (input, mut rest) = (std::mem::take(&mut self.input), 0);
        while let Some(head) = input.get(rest..rest + FRAME_HEADER_LENGTH) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = input.get(rest + FRAME_HEADER_LENGTH..rest + FRAME_HEADER_LENGTH + length) else {
                break;
            };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            self.handle_frame(head[3], head[4], stream, payload)?;
            rest += FRAME_HEADER_LENGTH + length;
        }
        self.input.extend(&input[rest..]);
        Ok(())
    }

    fn handle_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        match kind {
            DATA => {
                if let Some(call) = self.call(stream) {
                    call.data = true;
                }
            }
            HEADERS if flags & END_STREAM != 0 => {
                if let Some((took, data)) = self.over(stream) {
                    if data { self.tally.good.push(took) } else { self.tally.refused.push(took) }
                }
            }
            RST_STREAM => self.tally.reset += u64::from(self.over(stream).is_some()),
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.as_chunks::<6>().0 {
                    let [a, b, c, d, e, f] = *setting;
                    if u16::from_be_bytes([a, b]) == MAX_CONCURRENT_STREAMS {
                        self.streams = u32::from_be_bytes([c, d, e, f]) as usize;
                    }
                }
                frame(&mut self.output, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => frame(&mut self.output, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.window += i64::from(more);
            }
            GOAWAY => return Err(ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
        Ok(())
    }

    fn call(&mut self, stream: u32) -> Option<&mut Call> {
        let place = stream.checked_sub(self.first)? / 2;
        self.calls.get_mut(place as usize).filter(|call| !call.over)
    }

    /// Ends a call. Returns the time that it took, and whether its answer had a message.
    fn over(&mut self, stream: u32) -> Option<(Duration, bool)> {
        let call = self.call(stream)?;
        call.over = true;
        let told = (call.due.elapsed(), call.data);
        self.open -= 1;
        while self.calls.front().is_some_and(|call| call.over) {
            self.calls.pop_front();
            self.first += 2;
        }
        Some(told)
    }

    fn expire(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|due| now > *due + SEND_TIMEOUT) {
            self.waiting.pop_front();
            self.tally.unsent += 1;
        }
        while self.calls.front().is_some_and(|call| now > call.due + CALL_TIMEOUT) {
            let stream = self.first;
            self.over(stream);
            self.tally.expired += 1;
            frame(&mut self.output, RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        }
    }

    fn arrive(&mut self) {
        match self.arrival {
            Arrival::Closed(callers) => {
                while self.open + self.waiting.len() < callers {
                    self.waiting.push_back(Instant::now());
                    self.tally.offered += 1;
                }
            }
            Arrival::Open(rate) => {
                let due = (self.began.elapsed().as_secs_f64() * rate) as u64;
                while self.tally.offered < due {
                    let due = Duration::from_secs_f64(self.tally.offered as f64 / rate);
                    self.waiting.push_back(self.began + due);
                    self.tally.offered += 1;
                }
            }
        }
    }

    fn send(&mut self) {
        while self.open < self.streams && self.window >= self.load.message.len() as i64 {
            let Some(due) = self.waiting.pop_front() else { break };
            let stream = self.first + 2 * self.calls.len() as u32;
            let block = if stream == 1 { &self.load.first } else { &self.load.next };
            frame(&mut self.output, HEADERS, END_HEADERS, stream, block);
            frame(&mut self.output, DATA, END_STREAM, stream, &self.load.message);
            self.window -= self.load.message.len() as i64;
            self.calls.push_back(Call { due, data: false, over: false });
            self.open += 1;
        }
    }

    fn write(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.output.is_empty() {
            match stream.try_write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
