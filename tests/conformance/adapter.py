"""Adapts Autobahn's cases to a gateway in front of a byte stream; run.py says what is changed and why."""

TEXT, BINARY, PING = 1, 2, 9
FAILED, OK = "FAILED", "OK"

# The meaning of the numbers in Autobahn's own catalogue.
GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and speed",
    "10": "many small fragments",
    "12": "compression (must be declined)",
}

# Why the outcome of a case is left open.
_STRICT_OR_NOT = "the echo of the good message may come before the connection is failed or not at all"
INFORMATIONAL = {
    **{case: _STRICT_OR_NOT for case in ("3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15")},
    "7.1.6": "what happens to data that is still on its way back at a close is left open",
    "7.13.1": "the RFC does not say what to do about code 5000",
    "7.13.2": "the RFC does not say what to do about code 65535",
}


def adapt(cases):
    """Replaces every case in the index by one that talks through the adapter."""
    for case_id, case in list(cases.items()):
        if case_id.startswith(("12.", "13.")):
            continue
        cases[case_id] = refusal_of_text(case) if is_about_bad_text(case_id, case) else stream(case)


def is_about_bad_text(case_id, case):
    """Cases that send invalid UTF-8 as text. The gateway accepts no text, so it does not get that far."""
    return case_id.startswith(("6.3.", "6.4.")) or not getattr(case, "isValid", True)


def stream(case):
    """The case with its text sent as binary, and its echo collected into the messages that were sent."""

    def __init__(self, protocol):
        self.echo = Echo(protocol)
        case.__init__(self, Sender(protocol, self.echo))

    def onMessage(self, payload, binary):
        if not binary:
            self.echo.wrong = "text came from a gateway that relays bytes"
        self.echo.take(payload)
        deliver(self)

    def onPong(self, payload):
        if not self.echo.confirm(payload):
            case.onPong(self, payload)
        deliver(self)

    def deliver(self):
        for payload, was_text in self.echo.whole_messages():
            case.onMessage(self, payload, not was_text)

    def onConnectionLost(self, failed_by_me):
        case.onConnectionLost(self, failed_by_me)
        if self.echo.wrong:
            self.behavior = FAILED
            self.result = self.echo.wrong

    methods = (__init__, onMessage, onPong, onConnectionLost)
    return type(case.__name__, (case,), {method.__name__: method for method in methods})


def refusal_of_text(case):
    """The case with real text, which has to be refused with 1003 before any of it comes back."""

    def onConnectionLost(self, failed_by_me):
        case.onConnectionLost(self, failed_by_me)
        code = self.p.remoteCloseCode
        refused = code == 1003 and not self.p.closedByMe
        self.behavior = self.behaviorClose = OK if refused else FAILED
        self.result = f"Text has to be refused with 1003; the gateway's code was {code}."
        self.resultClose = ""
        if any(event[0] == "message" for event in self.received):
            self.behavior = FAILED
            self.result = "A refused message came back."

    return type(case.__name__, (case,), {"onConnectionLost": onConnectionLost})


class Sender:
    """The protocol object that a case talks to: all as it was, but text becomes binary."""

    def __init__(self, protocol, echo):
        object.__setattr__(self, "protocol", protocol)
        object.__setattr__(self, "echo", echo)

    def __getattr__(self, name):
        return getattr(self.protocol, name)

    def __setattr__(self, name, value):
        setattr(self.protocol, name, value)

    @property
    def txFrameStats(self):
        """Counts of sent frames by opcode; a case that sends text asks for text."""
        stats = dict(self.protocol.txFrameStats)
        stats[TEXT] = stats.get(TEXT, 0) + stats.pop(BINARY, 0)
        return stats

    def sendFrame(self, opcode, payload="", fin=True, rsv=0, payload_len=None, **options):
        if payload_len is not None:
            options["payload_len"] = payload_len
        sent_as = BINARY if opcode == TEXT else opcode
        # As bytes, so that the encoding of a continuation need not be guessed.
        self.protocol.sendFrame(opcode=sent_as, payload=latin1(payload), fin=fin, rsv=rsv, **options)
        if opcode <= BINARY and rsv == 0:
            self.echo.sent(opcode, repeated(payload, payload_len), fin)

    def sendMessage(self, payload, isBinary=False, **options):
        self.protocol.sendMessage(latin1(payload), True, **options)
        self.echo.sent(BINARY if isBinary else TEXT, repeated(payload, None), True)


class Echo:
    """What was sent, what came back, and the whole messages in that."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.expected = []  # of [text or not, bytes, tag of the ping behind it], in the order sent
        self.open = None  # the message whose last fragment has not been sent
        self.empty = 0  # how many empty messages were sent
        self.confirmed = set()  # tags of the pings that came back
        self.bytes = bytearray()
        self.wrong = None

    def sent(self, opcode, payload, fin):
        """Notes one valid fragment. Violations of the rules of fragmentation are not expected back."""
        if (opcode == 0) != (self.open is not None):
            return
        if opcode:
            self.open = [opcode == TEXT, bytearray(), None]
        self.open[1] += payload
        if fin:
            message, self.open = self.open, None
            if not message[1]:
                self.empty += 1
                message[2] = f"behind empty message {self.empty}"
                self.protocol.sendFrame(opcode=PING, payload=message[2])
            self.expected.append(message)

    def take(self, payload):
        self.bytes += latin1(payload)

    def confirm(self, tag):
        """Whether a pong answers one of our own pings."""
        tag = tag if isinstance(tag, str) else bytes(tag).decode("latin-1")
        ours = any(message[2] == tag for message in self.expected)
        if ours:
            self.confirmed.add(tag)
        return ours

    def whole_messages(self):
        """Takes a complete message that came back: text or bytes as the case expects it, and which it was."""
        while self.expected:
            was_text, payload, tag = self.expected[0]
            if tag is not None and tag not in self.confirmed or len(self.bytes) < len(payload):
                return
            if self.bytes[: len(payload)] != payload:
                self.wrong = "What came back differs from what was sent."
            came = bytes(self.bytes[: len(payload)])
            del self.bytes[: len(payload)]
            del self.expected[0]
            yield came.decode("latin-1"), was_text


def repeated(payload, length):
    """The bytes of a payload; with a length, as often as it takes to fill that."""
    payload = latin1(payload)
    if length is None or not payload:
        return payload
    return (payload * (length // len(payload) + 1))[:length]


def latin1(payload):
    return payload.encode("latin-1") if isinstance(payload, str) else bytes(payload)
