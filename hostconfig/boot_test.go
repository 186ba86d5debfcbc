package hostconfig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/hostconfig/doors"
	"github.com/proa-os/proa/hostconfig/stage"
)

// booting is a machine with a file on its boot partition.
func booting(t *testing.T, dir, config string) Booting {
	t.Helper()
	esp := t.TempDir()
	must(t, os.Mkdir(filepath.Join(esp, "proa"), 0o755))
	if config != "" {
		must(t, os.WriteFile(filepath.Join(esp, doors.ESPPath), []byte(config), 0o644))
	}
	return Booting{
		Root: open(t, dir), Release: "1.0.0", Now: today,
		House: doors.House{Sys: t.TempDir(), Dev: "/dev", Most: MostSize, LoadModules: func(...string) {},
			ESP: func() (string, func(), error) { return esp, func() {}, nil }},
	}
}

func TestAMachineIsConfiguredOnce(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	if o := booting(t, dir, "").Configure(); o.Result != Nothing {
		t.Errorf("without a configuration: %+v", o)
	}
	if o := booting(t, dir, "nonsense").Configure(); o.Result != Refused || !strings.Contains(o.Error, "want Ignition") {
		t.Errorf("with nonsense: %+v", o)
	}
	name := func(name string) string { return "#cloud-config\nhostname: " + name + "\n" }
	step := func(config string, want Result, hostname string) {
		t.Helper()
		o := booting(t, dir, config).Configure()
		got, err := os.ReadFile(filepath.Join(dir, "etc/hostname"))
		if must(t, err); o.Result != want || string(got) != hostname+"\n" {
			t.Errorf("%+v, %s; want %s, %s", o, got, want, hostname)
		}
	}
	step(name("one"), Applied, "one")
	step(name("two"), Already, "one")
	must(t, Again(open(t, dir)))
	step(name("two_"), Refused, "one")
	step(name("two"), Applied, "two")
	step(name("three"), Already, "two")

	forgets := booting(t, dir, name("three"))
	forgets.Forgets = true
	if o := forgets.Configure(); o.Result != Applied {
		t.Errorf("where changes of /etc do not last: %+v", o)
	}
	r, err := ReadRecord(open(t, dir))
	if must(t, err); r == nil || r.Language != "cloud-config" || r.Door != "file proa/config of the boot partition" || r.Release != "1.0.0" || r.Digest != digest([]byte(name("three"))) {
		t.Errorf("record: %+v", r)
	}
}

func TestABootFinishesWhatTheOneBeforeBegan(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	root := open(t, dir)
	p, err := Parse("c", []byte("#cloud-config\nhostname: kept\n"))
	must(t, err)
	work, err := Prepare(root, "c", p, nil, today)
	must(t, err)
	text, err := json.Marshal(work)
	must(t, err)
	must(t, root.MkdirAll(workFolder, 0o755))
	must(t, root.WriteFile(pendingPath, text, 0o600))
	if o := booting(t, dir, "").Configure(); o.Result != Applied {
		t.Errorf("%+v", o)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "etc/hostname")); string(got) != "kept\n" {
		t.Errorf("hostname: %s", got)
	}
	// What is kept is ours, and is not believed all the same.
	must(t, root.WriteFile(pendingPath, bytes.ReplaceAll(text, []byte("/etc/hostname"), []byte("/usr/hostname")), 0o600))
	if o := booting(t, dir, "").Configure(); o.Result != Failed || !strings.Contains(o.Error, "read-only") {
		t.Errorf("with work in /usr: %+v", o)
	}
	work.Changes = append(work.Changes, stage.Entry{Path: "/var/lib", Kind: stage.Gone})
	text, err = json.Marshal(work)
	must(t, err)
	must(t, root.WriteFile(pendingPath, text, 0o600))
	if o := booting(t, dir, "").Configure(); o.Result != Failed || !strings.Contains(o.Error, "/var/lib has /var/lib/proa below it") {
		t.Errorf("with work that removes what is proa's own: %+v", o)
	}
	if _, err := root.Lstat(recordPath); err != nil {
		t.Error(err)
	}
}

func TestWorkThatCannotBeReadIsDroppedWhenAskedFor(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"cut": "{", "newer": `{"schema": 2}`, "long": "",
		"elsewhere": `{"schema": 1, "changes": [{"path": "/usr/x", "kind": "file"}]}`,
	} {
		dir := newRoot(t, nil)
		root := open(t, dir)
		must(t, root.MkdirAll(workFolder, 0o755))
		must(t, root.WriteFile(pendingPath, []byte(text), 0o600))
		if name == "long" {
			must(t, os.Truncate(filepath.Join(dir, pendingPath), mostWork+1))
		}
		const config = "#cloud-config\nhostname: anew\n"
		if o := booting(t, dir, config).Configure(); o.Result != Failed || !strings.Contains(o.Error, "'proa-agent configure --again' drops it") {
			t.Errorf("%s: %+v", name, o)
		}
		must(t, Again(root))
		if o := booting(t, dir, config).Configure(); o.Result != Applied {
			t.Errorf("%s, again: %+v", name, o)
		}
	}
	// Work that can be read is finished.
	dir := newRoot(t, nil)
	root := open(t, dir)
	must(t, root.MkdirAll(workFolder, 0o755))
	must(t, root.WriteFile(pendingPath, []byte(`{"schema": 1, "record": {"schema": 1, "door": "before"}}`), 0o600))
	must(t, Again(root))
	if o := booting(t, dir, "").Configure(); o.Result != Applied || o.Door != "before" {
		t.Errorf("work that can be read: %+v", o)
	}
}

func TestWhatCouldNotBeReadAgainIsNotWritten(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	before := listing(t, dir)
	record := Record{Schema: RecordSchema}
	for n := range 40000 {
		record.Files = append(record.Files, RecordedFile{Path: fmt.Sprintf("/etc/%d", n), Digest: digest(nil)})
	}
	big := stage.Entry{Path: "/etc/big", Kind: stage.File, Content: make([]byte, mostWork*3/4)}
	for want, work := range map[string]Work{
		"its record would have": {Record: record},
		"it would have":         {Changes: []stage.Entry{big}},
	} {
		if err := work.Do(open(t, dir)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if !maps.Equal(before, listing(t, dir)) {
		t.Error("something was written")
	}
	// And it is found before a boot.
	var files []string
	for n := range 7 {
		name := fmt.Sprintf("etc/log%d", n)
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		must(t, os.Truncate(filepath.Join(dir, name), mostKept))
		files = append(files, `{"path":"/`+name+`","append":[{"source":"data:,x"}]}`)
	}
	if err := configure(t, dir, storage(`"files":[`+strings.Join(files, ",")+`]`)); err == nil || !strings.Contains(err.Error(), "config:1:1: all that is to be written is too much: it would have") {
		t.Errorf("%v", err)
	}
}

func TestTheOutcomeIsTold(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	for _, o := range []Outcome{{Result: Waits, Door: "URL x"}, {Result: Refused, Error: "a\nb"}} {
		must(t, o.Tell(run))
		var got Outcome
		text, err := os.ReadFile(filepath.Join(run, OutcomeFile))
		must(t, err)
		must(t, json.Unmarshal(text, &got))
		_, err = os.Lstat(filepath.Join(run, WaitsFile))
		if got != o || (err == nil) != (o.Result == Waits) {
			t.Errorf("%+v: %+v, %v", o, got, err)
		}
	}
}

func TestAConfigurationComesFromAURL(t *testing.T) {
	t.Parallel()
	const config = "#cloud-config\nhostname: fetched\n"
	content := config
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/config":
			fmt.Fprint(w, content)
		case "/long":
			w.Write(make([]byte, MostSize+1))
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/slow":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	at := func(path, text string) *URL {
		u, err := ParseURL(server.URL+path, strings.TrimPrefix(digest([]byte(text)), "sha256:"))
		must(t, err)
		return u
	}
	dir := newRoot(t, nil)
	boots := func(u *URL) Outcome {
		b := booting(t, dir, "#cloud-config\nhostname: door\n")
		b.URL = u
		return b.Configure()
	}
	if o := boots(at("/config", config)); o.Result != Waits {
		t.Errorf("before it is fetched: %+v", o)
	}
	root := open(t, dir)
	for path, want := range map[string]string{"/none": "status 404", "/long": "over 1048576 bytes", "/loop": "over 5 redirects"} {
		if err := at(path, config).Fetch(t.Context(), root, today); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := at("/slow", config).Fetch(short, root, today); err == nil {
		t.Error("a server that does not go on")
	}
	if err := at("/config", "other").Fetch(t.Context(), root, today); err == nil || !strings.Contains(err.Error(), "proa.config.sha256= says") {
		t.Errorf("other bytes: %v", err)
	}
	content = "#cloud-config\ntimezone: Mars/Base\n"
	if err := at("/config", content).Fetch(t.Context(), root, today); err == nil || !strings.Contains(err.Error(), "no time zone Mars/Base") {
		t.Errorf("what cannot be done: %v", err)
	}
	if o := boots(at("/config", config)); o.Result != Waits {
		t.Errorf("after faults: %+v", o)
	}
	// What is kept counts only as long as the digest is its own.
	must(t, root.MkdirAll(workFolder, 0o755))
	must(t, root.WriteFile(fetchedPath, []byte("#cloud-config\nhostname: other\n"), 0o600))
	if o := boots(at("/config", config)); o.Result != Waits {
		t.Errorf("with another one that was fetched before: %+v", o)
	}
	content = config
	must(t, at("/config", config).Fetch(t.Context(), root, today))
	if o := boots(at("/config", config)); o.Result != Applied {
		t.Errorf("after it was fetched: %+v", o)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "etc/hostname")); string(got) != "fetched\n" {
		t.Errorf("hostname: %s", got)
	}
	must(t, Again(root))
	if o := boots(at("/config", config)); o.Result != Waits {
		t.Errorf("again: %+v", o)
	}
	// A boot that refuses it does not wait for another one, but the boot after that.
	must(t, root.WriteFile(fetchedPath, []byte("#cloud-config\ntimezone: Mars/Base\n"), 0o600))
	any, err := ParseURL("https://h/x", "")
	must(t, err)
	for n, want := range []Result{Refused, Waits} {
		if o := boots(any); o.Result != want {
			t.Errorf("boot %d after one was fetched that is refused: %+v, want %s", n+1, o, want)
		}
	}
	// As does one that cannot be read.
	must(t, root.WriteFile(fetchedPath, make([]byte, MostSize+1), 0o600))
	for n, want := range []Result{Refused, Waits} {
		if o := boots(any); o.Result != want {
			t.Errorf("boot %d after one was fetched that is too long: %+v, want %s", n+1, o, want)
		}
	}
	// What would be fetched into memory is not waited for.
	lost := booting(t, dir, "")
	lost.URL, lost.VarLost = any, true
	if o := lost.Configure(); o.Result != Refused || o.Door != any.door() || !strings.Contains(o.Error, "/var is in memory") {
		t.Errorf("with /var in memory: %+v", o)
	}
}

// TestWhatIsInVarIsWrittenOnce is a machine whose /etc is new in each boot.
func TestWhatIsInVarIsWrittenOnce(t *testing.T) {
	t.Parallel()
	config := storage(`"directories":[{"path":"/var/d","overwrite":true},{"path":"/var/e"},{"path":"/etc/d","mode":448}],
		"files":[{"path":"/var/d/f","contents":{"source":"data:,d"}},{"path":"/var/f","contents":{"source":"data:,f"}},{"path":"/var/log","append":[{"source":"data:,more%0A"}]},
			{"path":"/var/o","overwrite":true,"contents":{"source":"data:,o"}},{"path":"/etc/tovar/gone","contents":{"source":"data:,g"}},
			{"path":"/etc/hosts","append":[{"source":"data:,more%0A"}]}],
		"links":[{"path":"/var/l","target":"f"},{"path":"/etc/l","target":"hosts"},{"path":"/var/hard","target":"/var/f","hard":true}]`)
	config = strings.Replace(config, "{", `{"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["`+key+`"]},{"name":"other"}]},`, 1)
	dir := newRoot(t, map[string]string{"var/log": "line\n", "etc/tovar": "-> /var"})
	boots := func(config string) Outcome {
		b := booting(t, dir, config)
		b.Forgets = true
		return b.Configure()
	}
	etc := filepath.Join(dir, "etc")
	run(t, "cp", "-a", etc, etc+".image")
	if o := boots(config); o.Result != Applied {
		t.Fatalf("first boot: %+v", o)
	}
	inEtc := listing(t, etc)
	record, err := ReadRecord(open(t, dir))
	must(t, err)
	anew := func() {
		t.Helper()
		run(t, "rm", "-r", etc)
		run(t, "cp", "-a", etc+".image", etc)
	}
	var inVar map[string]string
	// What runs changes all of it.
	for _, change := range []string{
		"echo mine > f; echo mine >> log; echo mine > o; echo mine > d/mine; rm gone l hard; ln -s other l; echo > home/core/.ssh/authorized_keys",
		"true",
		"rm -r f o d e home/core/.ssh home/other; ln -s /mnt/d d; ln -s /usr/f f; ln -s o o; echo mine > e",
		"rm -r f d home/core; echo mine > f; echo mine > d; ln -s /mnt/core home/core",
		"rm d; ln -s d d",
	} {
		run(t, "sh", "-ec", `cd "$1"; eval "$2"`, "sh", filepath.Join(dir, "var"), change)
		inVar = listing(t, filepath.Join(dir, "var"))
		anew()
		if o := boots(config); o.Result != Applied {
			t.Fatalf("after %s: %+v", change, o)
		}
		same(t, listing(t, etc), inEtc)
		same(t, listing(t, filepath.Join(dir, "var")), inVar, "lib/proa", "lib/proa/configured.json")
		after, err := ReadRecord(open(t, dir))
		if must(t, err); !slices.EqualFunc(record.Files, after.Files, func(a, b RecordedFile) bool { return a.Path == b.Path && a.Digest == b.Digest }) {
			t.Errorf("record: %+v, want %+v", after.Files, record.Files)
		}
	}
	s := stage.NewEtc(open(t, dir))
	if err := s.Remove("/etc/tovar/f"); err != nil || len(s.Changes()) > 0 {
		t.Errorf("removing it: %v, %v", err, s.Changes())
	}
	// What is asked for, or another configuration, is not held back.
	anew()
	must(t, Again(open(t, dir)))
	if o := boots(config); o.Result != Refused || !strings.Contains(o.Error, "/var/f: it is there already: want overwrite") {
		t.Errorf("again: %+v", o)
	}
	must(t, open(t, dir).Remove(againPath))
	if o := boots(config + " "); o.Result != Refused || !strings.Contains(o.Error, "/var/f: it is there already: want overwrite") {
		t.Errorf("another one: %+v", o)
	}
}

func TestURLsThatAnybodyCouldAnswerAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ address, sha256, want string }{
		{"http://h/x", "", "anybody in between can change"},
		{"ftp://h/x", "", "want a URL, https or http"},
		{"x", "", "want a URL"},
		{"https://h/x", "00", "want 64 hex digits"},
		{"://", "", "proa.config=: "},
	} {
		if _, err := ParseURL(test.address, test.sha256); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.address, err, test.want)
		}
	}
	if _, err := ParseURL("https://h/x", ""); err != nil {
		t.Error(err)
	}
}
