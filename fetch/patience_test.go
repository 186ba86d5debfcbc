package fetch

import (
	"errors"
	"testing"
	"time"
)

// A server that sends next to nothing is waited for a window in each attempt.
func TestASlowServerIsGivenUpWithinAMinute(t *testing.T) {
	retry, spent := Patience{}.Retry(), time.Duration(0)
	for again := true; again; {
		var pause time.Duration
		pause, again = retry.Next(errors.New("too slow"))
		spent += Patience{}.withDefaults().Window + pause
	}
	if spent > time.Minute {
		t.Errorf("it is waited for %s in all", spent)
	}
}
