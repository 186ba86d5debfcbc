package machine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-os/proa/machine/guest"
)

func TestTheLastShutdownEventSaysWhyTheGuestEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		want   Reason
	}{
		"reset": {`{"QMP": {"version": {}}}
{"return": {}}
{"timestamp": {"seconds": 1}, "event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}
{"timestamp": {"seconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}
`, ReasonReset},
		"quit":    {`{"event":"SHUTDOWN","data":{"reason":"guest-reset"}}` + "\n" + `{"event":"SHUTDOWN","data":{"reason":"host-qmp-quit"}}`, ReasonReset},
		"two":     {`{"event":"SHUTDOWN","data":{"reason":"guest-panic"}}` + "\n" + `{"event":"SHUTDOWN","data":{"reason":"guest-shutdown"}}`, ReasonShutdown},
		"garbage": {"{\x00\n[]\n7\n\"SHUTDOWN\"\n", ""},
		"nothing": {"", ""},
	} {
		if got := (&monitor{}).read(strings.NewReader(c.stream)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func FuzzShutdownReason(f *testing.F) {
	f.Add([]byte(`{"event":"SHUTDOWN","data":{"reason":"guest-reset"}}` + "\n"))
	f.Add([]byte(`{"event":"SHUTDOWN","data":7}` + "\n{"))
	f.Fuzz(func(t *testing.T, stream []byte) { (&monitor{}).read(bytes.NewReader(stream)) })
}

func TestCommandsUnderWayEndWhenTheGuestStartsAgain(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	b := &Boot{channel: newChannel(ours), ended: make(chan struct{})}
	go func() {
		fmt.Fprintln(theirs, `{"hello":true}`)
		theirs.Read(make([]byte, 1000))
		fmt.Fprintln(theirs, `{"id":1,"std`)
		fmt.Fprintln(theirs, `{"id":99,"exitCode":1}`)
		fmt.Fprintln(theirs, `{"hello":true}`)
		theirs.Read(make([]byte, 1000))
		fmt.Fprintln(theirs, `{"id":2,"exitCode":5}`)
	}()
	if _, err := b.Run(t.Context(), "true"); !errors.Is(err, errRestarted) {
		t.Errorf("got %v, want %v", err, errRestarted)
	}
	if got, err := b.Run(t.Context(), "true"); got.ExitCode != 5 || err != nil {
		t.Errorf("the next command: got %+v, %v", got, err)
	}
}

func TestAGuestThatDoesNotReadHoldsNobodyBeyondTheContext(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	b := &Boot{channel: newChannel(ours), ended: make(chan struct{})}
	if _, err := io.WriteString(theirs, `{"hello":true}`+"\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		theirs.Read(make([]byte, 3)) // the beginning of a line that is then given up
		cancel()
	}()
	if _, err := b.Run(ctx, "true"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	go func() {
		lines := bufio.NewScanner(theirs)
		for lines.Scan() {
			var request guest.Request
			if json.Unmarshal(lines.Bytes(), &request) == nil {
				fmt.Fprintf(theirs, `{"id":%d,"exitCode":5}`+"\n", request.ID)
			}
		}
	}()
	if got, err := b.Run(t.Context(), "true"); got.ExitCode != 5 || err != nil {
		t.Errorf("the next command: got %+v, %v", got, err)
	}
}

func TestTheLongestAnswerFitsIntoALine(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	b := &Boot{channel: newChannel(ours), ended: make(chan struct{})}
	go guest.Serve(t.Context(), theirs)
	const most = "head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2"
	got, err := b.Run(t.Context(), most)
	if err != nil || len(got.Stdout) != guest.OutputMost || len(got.Stderr) != guest.OutputMost {
		t.Errorf("got %d and %d bytes, %v", len(got.Stdout), len(got.Stderr), err)
	}
}

func TestACloneHasTheSameBytesAndTheSameHoles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 64<<20 + 12345
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 5 << 20, 40<<20 + 1, size - 3} {
		if _, err := f.WriteAt([]byte("abc"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dst, bytes.Repeat([]byte("old"), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Clone(dst, src); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the clone has other bytes")
	}
	info, err := os.Stat(dst)
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
		t.Errorf("the clone of a sparse file takes %d bytes", used)
	}
}

func TestTheConsoleIsReadable(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	raw := "\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: starting\r\n\r\n\xff one \r\ntwo"
	if err := os.WriteFile(log, []byte(raw), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &Boot{Log: log}
	if got, want := b.Console(2), "? one\ntwo"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := b.Console(10), "BdsDxe: starting\n? one\ntwo"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAMissingDiskIsNamedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Disk: "/no/such/disk", Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "/no/such/disk") {
		t.Errorf("got %v", err)
	}
}

func TestMissingFirmwareNamesItsPackage(t *testing.T) {
	t.Parallel()
	err := error(&MissingError{What: "UEFI firmware", Looked: []string{"/a", "/b"}, Package: "ovmf"})
	if want := "no UEFI firmware at /a, /b (Debian package ovmf)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
