package health

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
)

// manager is a systemctl that answers from files of a folder, one for each unit; what the real one
// prints for a unit that it does not know stands in for a missing file.
type manager struct {
	t   *testing.T
	dir string
}

func newManager(t *testing.T) manager {
	t.Helper()
	m := manager{t, t.TempDir()}
	// The last argument is the unit; the ones before are checked, too.
	script(t, m.path(), `test "$1 $2 $4 $#" = "show --no-pager -- 5" || { echo "bad call: $*" >&2; exit 1; }
cat "`+m.dir+`/$5" 2>/dev/null || printf 'LoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n'`)
	m.set("boot-complete.target", "active=inactive")
	return m
}

func (m manager) path() string { return filepath.Join(m.dir, "systemctl") }

var longKeys = map[string]string{
	"load": "LoadState", "active": "ActiveState", "sub": "SubState", "result": "Result", "code": "ExecMainCode", "status": "ExecMainStatus",
	"restarts": "NRestarts", "run": "InvocationID", "condition": "ConditionResult", "asked": "ConditionTimestampMonotonic", "after": "After", "requires": "Requires",
}

// set is what the manager says of a unit from now on.
func (m manager) set(unit string, words ...string) {
	m.t.Helper()
	content := ""
	for _, word := range append([]string{"load=loaded"}, words...) {
		key, value, _ := strings.Cut(word, "=")
		content += longKeys[key] + "=" + value + "\n"
	}
	temp := filepath.Join(m.dir, ".new")
	must(m.t, os.WriteFile(temp, []byte(content), 0o600))
	must(m.t, os.Rename(temp, filepath.Join(m.dir, unit)))
}

// checks are those of a host with that manager.
func (m manager) checks(checks ...manifests.HealthCheck) *Checks {
	return quick(Config{Systemctl: m.path(), Checks: checks})
}

func TestAUnitThatIsNotActiveSaysWhy(t *testing.T) {
	m := newManager(t)
	c := m.checks()
	for _, test := range []struct {
		says string
		want string
	}{
		{"active=active sub=running run=1", ""},
		{"active=reloading run=1", ""},
		{"active=failed sub=failed result=exit-code code=1 status=3", "failed: exit-code, exit status 3"},
		{"active=failed sub=failed result=signal code=2 status=11", "failed: signal, signal 11"},
		{"active=failed sub=failed result=core-dump code=3 status=6", "failed: core-dump, signal 6"},
		{"active=failed sub=failed result=timeout", "failed: timeout"},
		{"active=failed sub=failed result=start-limit-hit code=1 status=0", "failed: start-limit-hit, exit status 0"},
		{"active=inactive sub=dead result=success", "inactive"},
		{"active=inactive sub=dead result=success code=1 status=0", "inactive"},
		{"active=inactive sub=dead condition=no asked=5", "inactive: a condition of it is not met"},
		{"active=inactive sub=dead condition=no asked=0", "inactive"},
		{"active=activating sub=auto-restart result=exit-code code=1 status=1", "waits for its restart: exit-code, exit status 1"},
		{"active=inactive load=masked", "unit is not loaded: masked"},
		{"active=inactive load=bad-setting", "unit is not loaded: bad-setting"},
		{"restarts=x active=active", `systemctl: NRestarts is "x": want a whole number`},
		{"sub=running", "systemctl: no ActiveState in its answer"},
	} {
		m.set("a.service", strings.Fields(test.says)...)
		if got := text(c.unit("a.service").mustBeActive(t.Context())); got != test.want {
			t.Errorf("%s: got %q, want %q", test.says, got, test.want)
		}
		delete(c.units, "a.service")
	}
	if got := text(c.unit("b.service").mustBeActive(t.Context())); got != "there is no such unit" {
		t.Errorf("a missing unit: got %q", got)
	}
}

func TestAUnitThatIsBeingStartedIsWaitedFor(t *testing.T) {
	m := newManager(t)
	m.set("a.service", "active=activating", "sub=start")
	c := m.checks(manifests.HealthCheck{Unit: "a.service"})
	c.Timeout, c.Limit = 300*time.Millisecond, 400*time.Millisecond
	if err := c.Run(t.Context()); text(err) != "health check a.service: is being started (start) for a while" {
		t.Errorf("got %v", err)
	}
	c = m.checks(manifests.HealthCheck{Unit: "a.service"})
	c.Limit = time.Minute
	done := make(chan error)
	go func() { done <- c.Run(t.Context()) }()
	m.set("a.service", "active=active", "sub=running", "run=1")
	must(t, <-done)
}

// at is a time, in seconds after the first look.
func at(seconds int) time.Time { return time.Unix(1764064800+int64(seconds), 0) }

func TestAServiceMustStayActiveForAMoment(t *testing.T) {
	u := New(Config{}).unit("a.service")
	for _, look := range []struct {
		at   int
		run  string
		want string
	}{
		{0, "1", "has not stayed active for 5s"},
		{4, "1", "has not stayed active for 5s"},
		{6, "2", "has not stayed active for 5s"},
		{10, "2", "has not stayed active for 5s"},
		{11, "2", ""},
	} {
		wait, err := u.judge(unitState{active: "active", run: look.run}, at(look.at))
		if wait != look.want || err != nil {
			t.Errorf("after %d s: got %q, %v; want %q", look.at, wait, err, look.want)
		}
	}
	// A target or a mount has no process that could end.
	if wait, err := New(Config{}).unit("a.target").judge(unitState{active: "active"}, at(0)); wait != "" || err != nil {
		t.Errorf("a target: got %q, %v", wait, err)
	}
}

func TestAServiceThatRestartsAgainAndAgainIsNotHealthy(t *testing.T) {
	u := New(Config{}).unit("a.service")
	look := func(seconds, restarts int, want string) {
		t.Helper()
		s := unitState{active: "active", sub: "running", result: "success", code: 1, status: 7, restarts: restarts, run: fmt.Sprint(restarts)}
		_, err := u.judge(s, at(seconds))
		if text(err) != want {
			t.Errorf("after %d s: got %q, want %q", seconds, text(err), want)
		}
	}
	look(0, 4, "") // before anybody looked
	look(10, 5, "")
	look(20, 6, "")
	look(30, 7, "restarted 3 times in 30 s: success, exit status 7")
	look(40, 8, "restarted 4 times in 40 s: success, exit status 7")
	look(69, 8, "restarted 4 times in 69 s: success, exit status 7")
	look(70, 8, "") // it has stayed up for a while
	look(80, 9, "")
	look(90, 0, "") // somebody started it anew
	look(100, 3, "restarted 3 times in 10 s: success, exit status 7")
}

func TestTheBootIsNotCompleteBeforeWhatItsTargetRequires(t *testing.T) {
	for _, test := range []struct {
		name, says, want string
	}{
		{"succeeded and stays", "active=active sub=exited run=1", ""},
		{"succeeded and went", "active=inactive sub=dead result=success code=1 status=0 run=1", ""},
		{"succeeded by a status of its own", "active=inactive sub=dead result=success code=1 status=5 run=1", ""},
		{"not meant for this machine", "active=inactive sub=dead condition=no asked=7", ""},
		{"failed", "active=failed sub=failed result=exit-code code=1 status=1 run=1", "failed: exit-code, exit status 1 for a while"},
		{"killed", "active=inactive sub=dead result=signal code=2 status=9 run=1", "inactive: signal, signal 9 for a while"},
		{"not begun", "active=inactive sub=dead result=success", "has not succeeded yet: inactive for a while"},
		{"under way", "active=activating sub=start run=1", "has not succeeded yet: activating for a while"},
		{"waits for the judge", "active=inactive sub=dead result=success after=basic.target,proa-judge.service", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newManager(t)
			// Lists of units are separated by spaces.
			words := strings.Fields(test.says)
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], ",", " ")
			}
			m.set("disks.service", words...)
			m.set(bootComplete, "active=inactive", "requires=proa-judge.service disks.service")
			c := m.checks()
			c.Timeout, c.Limit = 300*time.Millisecond, 400*time.Millisecond
			want := test.want
			if want != "" {
				want = "health check boot-complete.target: disks.service: " + want
			}
			if err := c.Run(t.Context()); text(err) != want {
				t.Errorf("got %q, want %q", text(err), want)
			}
		})
	}
}

func TestAManagerThatDoesNotAnswerIsAFailure(t *testing.T) {
	m := newManager(t)
	for name, body := range map[string]string{"hangs": "sleep 1000", "fails": "echo no bus >&2; exit 1", "silent": "exit 3"} {
		script(t, m.path(), body)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := m.checks().unit("a.service").mustBeActive(ctx)
		cancel()
		want := map[string]string{"hangs": "systemctl: no answer in time", "fails": "systemctl: no bus", "silent": "systemctl: exit status 3"}[name]
		if text(err) != want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzAnswersOfSystemctl(f *testing.F) {
	f.Add([]byte("ActiveState=active\nNRestarts=1\nAfter=a b\n"))
	f.Add([]byte("ActiveState=failed\nExecMainCode=99999999999\n=\n\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		s, err := parseShow(answer)
		if err != nil {
			return
		}
		if s.active == "" || s.restarts < 0 || s.code < 0 || s.status < 0 {
			t.Errorf("accepted %+v", s)
		}
		New(Config{}).unit("a.service").judge(s, at(0))
	})
}
