//! A group of three, `film`: one that sends, one that stays and one that is to go.

use std::{io::Write, process::ChildStdin};

use claviger_testkit::{lab::Lab, process::Running};

use super::{KeyServer, Member};

/// Has the three join, from hosts 2 to 4.
pub fn members<'a>(lab: &'a Lab, server: &KeyServer<'a>) -> Vec<Member<'a>> {
    let join = |host: u8| {
        let (role, options) = if host == 2 { ("both", &["--sender"][..]) } else { ("receiver", &[][..]) };
        let identity = server.identity(lab.host(host));
        server.allow("film", &identity, role);
        let mut member = server.join(identity, lab.host(host).ipv4().into(), "film", options);
        member.wait_until_keyed();
        member
    };
    (2..=4).map(join).collect()
}

/// Shows what those hear who do not send.
pub fn screens(members: &[Member<'_>]) -> Vec<Running> {
    let screen = |member: &Member<'_>| member.host.start(&mut member.command(&["recv", "--group", "film"]));
    members[1..].iter().map(screen).collect()
}

/// Says a word at a time, by one `send` that goes on.
pub struct Speaker {
    input: ChildStdin,
    pub said: u32,
    _sending: Running,
}

impl Speaker {
    /// Begins, at a member.
    pub fn start(member: &Member<'_>) -> Self {
        let mut command = member.command(&["send", "--group", "film", "--size", &WORD_LEN.to_string()]);
        let (sending, input) = member.host.start_piped(&mut command);
        Self { input, said: 0, _sending: sending }
    }

    /// Says the next word.
    pub fn say(&mut self) {
        self.said += 1;
        let word = format!("word {}.", self.said);
        writeln!(self.input, "{word:<0$}", WORD_LEN - 1).expect("`send` goes on");
    }
}

/// The octets of a word: one fills a datagram.
const WORD_LEN: usize = 16;
