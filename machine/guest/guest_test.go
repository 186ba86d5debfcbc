package guest

import (
	"bufio"
	"encoding/json"
	"net"
	"strings"
	"testing"
)

// serve runs the guest's end on one side of a pipe and returns the other,
// after the hello.
func serve(t *testing.T) (net.Conn, *bufio.Scanner) {
	t.Helper()
	host, end := net.Pipe()
	t.Cleanup(func() { host.Close() })
	go Serve(t.Context(), end)
	lines := bufio.NewScanner(host)
	lines.Buffer(nil, LineMost)
	if hello := receive(t, lines); !hello.Hello {
		t.Fatalf("began with %+v, want a hello", hello)
	}
	return host, lines
}

func receive(t *testing.T, lines *bufio.Scanner) Response {
	t.Helper()
	var r Response
	if !lines.Scan() {
		t.Fatalf("no answer: %v", lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestALineThatIsNoRequestIsPassedOver(t *testing.T) {
	t.Parallel()
	host, lines := serve(t)
	if _, err := host.Write([]byte("{\"id\":\n\x00\xff\n{\"id\":7,\"command\":\"echo hello; exit 4\"}\n")); err != nil {
		t.Fatal(err)
	}
	got := receive(t, lines)
	if got.ID != 7 || got.ExitCode != 4 || string(got.Stdout) != "hello\n" || got.Error != "" {
		t.Errorf("got %+v", got)
	}
}

func TestALongCommandDoesNotHoldUpTheNext(t *testing.T) {
	t.Parallel()
	host, lines := serve(t)
	requests := `{"id":1,"command":"sleep 1000"}` + "\n" + `{"id":2,"command":"echo second"}` + "\n"
	if _, err := host.Write([]byte(requests)); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, lines); got.ID != 2 || string(got.Stdout) != "second\n" {
		t.Errorf("got %+v, want the answer to the second request", got)
	}
}

func TestOutputIsCutAtItsBound(t *testing.T) {
	t.Parallel()
	host, lines := serve(t)
	if _, err := host.Write([]byte(`{"id":1,"command":"yes | head -c 3000000; yes | head -c 3000000 >&2"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("y\n", OutputMost/2)
	if got := receive(t, lines); string(got.Stdout) != want || string(got.Stderr) != want {
		t.Errorf("got %d and %d bytes, want %d of each", len(got.Stdout), len(got.Stderr), OutputMost)
	}
}
