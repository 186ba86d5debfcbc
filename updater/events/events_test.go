package events

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryKindHasItsOwnNameAndMessageID(t *testing.T) {
	seen := map[string]Kind{}
	id := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, k := range Kinds() {
		if !id.MatchString(k.ID()) {
			t.Errorf("%s: message id %q is no random id", k, k.ID())
		}
		if !name.MatchString(k.Name()) {
			t.Errorf("%d: name %q", k, k.Name())
		}
		for _, word := range []string{k.ID(), k.Name(), k.Subject()} {
			if other, taken := seen[word]; taken {
				t.Errorf("%s and %s share %q", k, other, word)
			}
			seen[word] = k
		}
		if k.Priority() < Crit || k.Priority() > Info || k.Explanation() == "" || strings.ContainsAny(k.Subject(), "\n") {
			t.Errorf("%s: priority %d, subject %q, explanation %q", k, k.Priority(), k.Subject(), k.Explanation())
		}
	}
	if len(seen) == 0 {
		t.Error("there are no kinds")
	}
}

func TestTheLineSaysWhatHappenedToWhat(t *testing.T) {
	for want, e := range map[string]Event{
		"Release went back: release 1.2.0, slot b: gateway.http: 503": {Kind: WentBack, Version: "1.2.0", Slot: 'b', Text: "gateway.http: 503"},
		"Slot repaired: slot a":                 {Kind: Repaired, Slot: 'a'},
		"Redundancy lost: slot b does not open": {Kind: Degraded, Text: "slot b does not open"},
		"Rebooting":                             {Kind: Rebooting},
		"Unknown event 200":                     {Kind: 200},
	} {
		if got := e.String(); got != want {
			t.Errorf("%q: want %q", got, want)
		}
	}
}

type counter struct{ seen []Event }

func (c *counter) Event(e Event) { c.seen = append(c.seen, e) }

func TestManySinksAreAllTold(t *testing.T) {
	var a, b counter
	Many(&a, nil, Silent(), &b).Event(Event{Kind: Armed})
	if len(a.seen) != 1 || len(b.seen) != 1 {
		t.Errorf("%d and %d events: want 1 and 1", len(a.seen), len(b.seen))
	}
}
