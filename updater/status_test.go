package updater_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
)

// noteStart adds to what proa-init noted about the boot.
func (f *fleet) noteStart(t *testing.T, name string, value any) {
	t.Helper()
	text, err := os.ReadFile(f.host.Path("run/boot.json"))
	check(t, err)
	note := map[string]any{}
	check(t, json.Unmarshal(text, &note))
	note[name] = value
	text, err = json.Marshal(note)
	check(t, err)
	check(t, os.WriteFile(f.host.Path("run/boot.json"), text, 0o600))
}

func TestOnlyADaemonThatLivesSaysWhatItDoes(t *testing.T) {
	f := newFleet(t)
	const gone = 4194305 // more than pid_max allows
	for text, listened := range map[string]bool{
		fmt.Sprintf(`{"pid": %d, "activity": "idle"}`, os.Getpid()): true,
		fmt.Sprintf(`{"pid": %d, "activity": "idle"}`, gone):        false,
		`{"activity": "idle"}`: false,
		`{"pid": `:             false,
	} {
		check(t, os.WriteFile(f.host.Path("run/agent.json"), []byte(text), 0o600))
		if said := f.status(t).Agent; (said != nil) != listened {
			t.Errorf("of %s the status has %s", text, said)
		}
	}
}

func TestStandInForACommittedSlotIsDegradedAndNotJudged(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *fleet){
		"with the journal":    func(*testing.T, *fleet) {},
		"without the journal": func(t *testing.T, f *fleet) { zeroJournal(t, f.host) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.update(t)
			f.boot(t, partitions.SlotB)
			f.judge(t)
			f.host.SetVariable(t, "LoaderEntryOneShot", "proa-a.efi")
			f.boot(t, partitions.SlotA)
			f.noteStart(t, "fallbacks", 2)
			lose(t, f)
			heard, c := &told{}, &clock{}
			v, err := f.at(t, c, heard).Judge(t.Context())
			if err != nil || v.Standing != "visiting" || v.Outcome != updater.OutcomeNone {
				t.Errorf("verdict %+v, %v", v, err)
			}
			if len(heard.events) != 1 || heard.events[0].Kind != events.Degraded {
				t.Errorf("told %v", heard.kinds())
			}
			if got := f.status(t).Degraded; got != "slot b leads and could not be booted, 2 times in a row: slot a stands in for it" {
				t.Errorf("degraded: %q", got)
			}
			_, err = f.host.Updater(t, nil).Deadline(t.Context())
			if err != nil || f.host.Resets(t) != 0 {
				t.Errorf("deadline: %v, %d resets: they would be for ever", err, f.host.Resets(t))
			}
		})
	}
}

func TestStatusSaysWhatIsMissingForAWayBack(t *testing.T) {
	f := newFleet(t)
	if got := f.status(t).Degraded; got != "" {
		t.Errorf("a fresh host is degraded: %s", got)
	}
	f.noteStart(t, "damaged", true)
	if got := f.status(t).Degraded; !contains(got, "slot a runs and is damaged") {
		t.Errorf("degraded: %q", got)
	}
	f.boot(t, partitions.SlotA)
	f.update(t)
	f.boot(t, partitions.SlotB)
	if running := f.status(t).Running; running.Try != 1 || running.Armed == nil {
		t.Errorf("running %+v: want the first try", running)
	}
	f.judge(t)
	check(t, os.Remove(f.host.Path("esp/EFI/Linux/proa-a.efi")))
	if got := f.status(t).Degraded; !contains(got, "slot a led before") {
		t.Errorf("degraded: %q", got)
	}
}

func TestStatusKeepsEveryTrial(t *testing.T) {
	f := newFleet(t)
	for try := 1; try <= 3; try++ {
		f.update(t)
		f.boot(t, partitions.SlotB)
		f.boot(t, partitions.SlotA)
		f.judge(t)
	}
	status := f.status(t)
	all := append(status.History, *status.Last)
	if len(all) != 3 {
		t.Fatalf("%d trials are told of: want 3", len(all))
	}
	for n, result := range all {
		if result.Try != n+1 || result.Armed == nil || result.Armed.After(result.When) || !updater.WentBack(&result) {
			t.Errorf("trial %d is told of as %+v", n+1, result)
		}
	}
}

func TestEveryFieldOfTheStatusIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/reference/agent.md")
	check(t, err)
	_, section, _ := strings.Cut(string(text), "\n`status`:\n")
	section, _, _ = strings.Cut(section, "\n`check`:")
	missing := func(name string) bool { return !strings.Contains(section, "`"+name+"`") }
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || !strings.Contains(of.PkgPath(), "/updater") {
			return
		}
		for n := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(n).Tag.Get("json"), ",")
			if name == "available" {
				if missing(name) {
					t.Errorf("docs/reference/agent.md does not tell of %s", name)
				}
				continue // told of with check
			}
			if name != "" && missing(name) {
				t.Errorf("docs/reference/agent.md does not tell of %s.%s", of.Name(), name)
			}
			walk(of.Field(n).Type)
		}
	}
	walk(reflect.TypeFor[updater.Status]())
}
