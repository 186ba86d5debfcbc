package bus

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/proa-os/proa/updater/units"
)

// polkit is an Authority with the interface of the real one.
type polkit struct {
	asked chan string

	mutex  sync.Mutex
	answer verdict
	fails  *dbus.Error
}

func (p *polkit) says(answer verdict, fails *dbus.Error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.answer, p.fails = answer, fails
}

func (p *polkit) CheckAuthorization(subject struct {
	Kind    string
	Details map[string]dbus.Variant
}, action string, details map[string]string, flags uint32, cancellation string) (verdict, *dbus.Error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	name, _ := subject.Details["name"].Value().(string)
	p.asked <- fmt.Sprintf("%s unique=%v %s %d", subject.Kind, strings.HasPrefix(name, ":1."), action, flags)
	return p.answer, p.fails
}

func (s *started) polkit(t *testing.T) *polkit {
	conn := dial(t, s.address)
	p := &polkit{asked: make(chan string, 100)}
	check(t, conn.Export(p, "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"))
	_, err := conn.RequestName("org.freedesktop.PolicyKit1", dbus.NameFlagDoNotQueue)
	check(t, err)
	return p
}

// writing are all calls that change something, as gdbus takes them, and their
// actions.
var writing = map[string][]string{
	"check":    {"--method", Interface + ".Check"},
	"update":   {"--method", Interface + ".Update", "{}"},
	"rollback": {"--method", Interface + ".Rollback", "{}"},
	"cancel":   {"--method", Interface + ".Cancel"},
	"unblock":  {"--method", Interface + ".Unblock", "1.2.0"},
}

const (
	denied    = "org.freedesktop.DBus.Error.AccessDenied: "
	challenge = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired: "
)

func TestWithoutPolkitOnlyRootMayWrite(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	for action, call := range writing {
		if out, problem := s.gdbus(t, call...); out != "" || !strings.Contains(problem, denied+"org.proa.agent1."+action+" needs polkit's consent") {
			t.Errorf("%s without polkit: %s %s", action, out, problem)
		}
	}
	if s.agent.list() != "" {
		t.Errorf("the agent was asked to %s", s.agent.list())
	}
}

func TestWhomPolkitRefusesMayNotWrite(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	polkit := s.polkit(t)
	for action, call := range writing {
		for _, c := range []struct {
			answer   verdict
			fails    *dbus.Error
			dialogue bool
			want     string
		}{
			{answer: verdict{}, want: denied + "user %d may not org.proa.agent1." + action},
			{answer: verdict{}, dialogue: true, want: denied + "user %d may not org.proa.agent1." + action},
			{answer: verdict{Challenge: true}, dialogue: true, want: denied + "user %d may not org.proa.agent1." + action},
			{answer: verdict{Challenge: true}, want: challenge + "org.proa.agent1." + action + " needs interactive authorization"},
			{answer: verdict{Authorized: true}, fails: dbus.NewError("x.y", []any{"out of order"}), want: denied + "org.proa.agent1." + action + " needs polkit's consent: out of order"},
		} {
			polkit.says(c.answer, c.fails)
			words, flags := call, 0
			if c.dialogue {
				words, flags = append([]string{"--interactive"}, call...), 1
			}
			out, problem := s.gdbus(t, words...)
			// In the bus' eyes, this user is root; the service was told that root is nobody.
			if want := strings.ReplaceAll(c.want, "%d", "0"); out != "" || !strings.Contains(problem, want) {
				t.Errorf("%s, polkit says %+v: %s %s: want %s", action, c.answer, out, problem, want)
			}
			asked := <-polkit.asked
			if want := fmt.Sprintf("system-bus-name unique=true org.proa.agent1.%s %d", action, flags); asked != want {
				t.Errorf("polkit was asked %q: want %q", asked, want)
			}
		}
	}
	if s.agent.list() != "" {
		t.Errorf("the agent was asked to %s", s.agent.list())
	}
}

func TestWhomPolkitAllowsMayWrite(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	polkit := s.polkit(t)
	polkit.says(verdict{Authorized: true}, nil)
	close(s.agent.goOn)
	heard := s.listen(t)
	number := 0
	for action, call := range writing {
		out, problem := s.gdbus(t, call...)
		if action == "unblock" {
			if problem != "" {
				t.Errorf("unblock: %s", problem)
			}
			continue
		}
		number++
		if out != fmt.Sprintf("(uint64 %d,)", number) {
			t.Errorf("%s: %s %s", action, out, problem)
		}
		heard.expect(t, fmt.Sprintf("JobNew %d %s", number, action))
		for signal := range heard.signals {
			if signal.Name == Interface+".JobRemoved" {
				break
			}
		}
	}
	if n := len(strings.Split(s.agent.list(), "; ")); n != len(writing) {
		t.Errorf("the agent was asked to %s", s.agent.list())
	}
}

func TestLiftingABlockTakesTheConsentForThatAsWell(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	polkit := s.polkit(t)
	polkit.says(verdict{Authorized: true}, nil)
	close(s.agent.goOn)
	if out, problem := s.gdbus(t, "--method", Interface+".Update", "{'retry-blocked': <true>}"); out != "(uint64 1,)" {
		t.Errorf("%s %s", out, problem)
	}
	const asked = "system-bus-name unique=true org.proa.agent1."
	if first, second := <-polkit.asked, <-polkit.asked; first != asked+"unblock 0" || second != asked+"update 0" {
		t.Errorf("polkit was asked %q and %q", first, second)
	}
}

func TestPolkitKnowsEveryActionThatIsAskedFor(t *testing.T) {
	t.Parallel()
	content := units.Elsewhere()["/usr/share/polkit-1/actions/org.proa.agent1.policy"]
	path := filepath.Join(t.TempDir(), "org.proa.agent1.policy")
	check(t, os.WriteFile(path, content, 0o644))
	if out, err := exec.Command("xmllint", "--nonet", "--noout", "--dtdvalid", "/usr/share/polkit-1/policyconfig-1.dtd", path).CombinedOutput(); err != nil {
		t.Errorf("xmllint: %v\n%s", err, out)
	}
	var known []string
	for _, match := range regexp.MustCompile(`action id="`+regexp.QuoteMeta(actionPrefix)+`([a-z]+)"`).FindAllStringSubmatch(string(content), -1) {
		known = append(known, match[1])
		if _, ok := writing[match[1]]; !ok {
			t.Errorf("nothing asks for action %s", match[1])
		}
	}
	for action := range writing {
		if !slices.Contains(known, action) {
			t.Errorf("polkit does not know action %s", action)
		}
	}
}
