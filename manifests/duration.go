package manifests

import (
	"fmt"
	"time"
)

// Duration is a length of time, written as Go does: 30s, 2m, 1h30m.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %.40q: want a number and a unit, such as 30s or 2m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the duration without units that are zero at its end: 5m, not 5m0s.
func (d Duration) String() string {
	text := time.Duration(d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if cut := len(text) - len(zero); cut > 0 && text[cut:] == zero {
			text = text[:cut+1]
		}
	}
	return text
}
