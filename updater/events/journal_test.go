package events

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostile are events whose data tries to look like more than it is.
var hostile = []Event{
	{Kind: WentBack, Version: "1.2.0", Slot: 'b', Text: "503\nPRIORITY=0\n_UID=0\nMESSAGE_ID=00000000000000000000000000000000"},
	{Kind: Blocked, Text: "x", Fields: map[string]string{"release=\nPRIORITY": "0", Release: "sha256:00\nPRIORITY=0"}},
	{Kind: Armed, Version: "2.0.0", Slot: 'a', Text: "\x00\xff" + strings.Repeat("long ", 100_000)},
	{Kind: Refused, Text: "two", Fields: map[string]string{"reason": "other", "event": "armed", strings.Repeat("x", 300): "long name"}},
	{Kind: 250},
}

// The journal is that of a real journald, which runs in a mount namespace of
// its own; the same program writes into it there.
const journald = `
mount -t tmpfs run /run && mkdir -p /run/systemd/journal
for folder in /usr/lib/systemd /lib/systemd; do [ ! -x $folder/systemd-journald ] || program=$folder/systemd-journald; done
$program 2>/run/problems & daemon=$!
until [ -S /run/systemd/journal/socket ]; do kill -0 $daemon || { cat /run/problems >&2; exit 1; }; sleep 0.05; done
"$@" >&2 && journalctl --sync && journalctl --no-pager -D /run/log/journal -o json SYSLOG_IDENTIFIER=proa-agent
result=$?
kill $daemon; wait $daemon
exit $result
`

func TestJournaldReadsEventsAsTheyWereMeant(t *testing.T) {
	if os.Getenv("PROA_WRITES_EVENTS") != "" {
		for _, e := range hostile {
			Journal(JournalSocket, failing{t}).Event(e)
		}
		return
	}
	t.Setenv("PROA_WRITES_EVENTS", "yes")
	out := run(t, "unshare", "--map-root-user", "--mount", "sh", "-c", journald, "sh", os.Args[0], "-test.run=^"+t.Name()+"$")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(hostile) {
		t.Fatalf("the journal has %d entries: want %d\n%s", len(lines), len(hostile), out)
	}
	for i, line := range lines {
		var entry map[string]any
		check(t, json.Unmarshal([]byte(line), &entry))
		e := hostile[i]
		for name, want := range map[string]string{
			"MESSAGE":      e.String(),
			"MESSAGE_ID":   e.Kind.ID(),
			"PRIORITY":     strconv.Itoa(int(e.Kind.Priority())),
			"PROA_EVENT":   e.Kind.Name(),
			"PROA_REASON":  e.Text,
			"PROA_RELEASE": e.Fields[Release],
			"_UID":         strconv.Itoa(os.Getuid()),
		} {
			if len(want) > valueMost {
				continue // bytes that are no text are an array in JSON
			}
			if got, _ := entry[name].(string); got != want {
				t.Errorf("%s: %s is %q: want %q", e.Kind, name, got, want)
			}
		}
		if len(line) > 64<<10 {
			t.Errorf("%s: %d bytes", e.Kind, len(line))
		}
	}
}

type failing struct{ t *testing.T }

func (f failing) Event(e Event) { f.t.Errorf("the journal did not take %s", e.Kind) }

func TestWithoutAJournalTheFallbackIsTold(t *testing.T) {
	var told counter
	Journal(filepath.Join(t.TempDir(), "none"), &told).Event(Event{Kind: Armed})
	if len(told.seen) != 1 {
		t.Errorf("%d events: want 1", len(told.seen))
	}
}

func TestAJournalThatHangsDoesNotHoldUpTheWork(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	deaf, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	check(t, err)
	defer deaf.Close()
	var told counter
	sink := &journal{socket, &told, time.Millisecond}
	for range 10_000 {
		if sink.Event(Event{Kind: Armed}); len(told.seen) > 0 {
			return
		}
	}
	t.Error("a socket that nobody reads took 10000 events")
}
