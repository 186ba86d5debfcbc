package updater_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-os/proa/updater"
)

func TestTheOrderOfWritesIsTheOneInTheReference(t *testing.T) {
	text, err := os.ReadFile("../docs/reference/agent.md")
	check(t, err)
	_, section, ok := strings.Cut(string(text), "\n## What an update does\n")
	if !ok {
		t.Fatal("docs/reference/agent.md has no section about what an update does")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for line := range strings.Lines(section) {
		if regexp.MustCompile(`^\d+\. `).MatchString(line) {
			listed = append(listed, strings.TrimSpace(line))
		}
	}
	order := updater.OrderOfWrites()
	for n, w := range order {
		want := fmt.Sprintf("%d. %s", w.Number, w.Text)
		if n >= len(listed) || listed[n] != want {
			t.Errorf("the reference's step %d is not %q", n, want)
		}
	}
	if len(listed) != len(order) {
		t.Errorf("the reference has %d steps: want %d", len(listed), len(order))
	}
}

func TestTheOrderOfWritesIsTheOneThatIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/explanation/the-flip.md")
	check(t, err)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| .* \| (.+) \|$`).FindAllStringSubmatch(string(text), -1)
	order := updater.OrderOfWrites()
	if len(rows) != len(order) {
		t.Fatalf("docs/explanation/the-flip.md has %d steps: want %d", len(rows), len(order))
	}
	for n, row := range rows {
		w := order[n]
		if row[1] != strconv.Itoa(w.Number) || w.Number != n || !strings.HasPrefix(strings.ReplaceAll(row[2], "`", ""), w.After) {
			t.Errorf("step %d: after a cut the explanation has %q: want %q", n, row[2], w.After)
		}
	}
}

// TestAnUpdateIsTheOrderOfWrites cuts an update at each of its steps by what
// that needs, and finds the step's name in the error.
func TestAnUpdateIsTheOrderOfWrites(t *testing.T) {
	names := map[string]bool{}
	f := newFleet(t)
	for n := 0; ; n++ {
		h := f.host.Copy(t, t.TempDir())
		_, err := h.Updater(t, failOnce(h.Dir, n, os.ErrInvalid)).Update(t.Context(), updater.UpdateOptions{})
		if err == nil {
			break
		}
		name, _, _ := strings.Cut(err.Error(), ":")
		names[name] = true
	}
	for _, w := range updater.OrderOfWrites() {
		switch w.Number {
		case 0, 1, 12, 13, 14: // without a write of ours, or not of an update
		default:
			if !names[w.Name] {
				t.Errorf("no write of an update is step %d, %s", w.Number, w.Name)
			}
		}
	}
}
