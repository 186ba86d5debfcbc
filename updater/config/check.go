package config

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/strictyaml"
	"github.com/proa-os/proa/updater/schedule"
)

// extensionsMost is how many a release has at the most.
const extensionsMost = 64

const day = Duration(24 * time.Hour)

// checkFile reports the faults of what one file says, and only of that: a value of an
// earlier file is not its fault.
func (s *Settings) checkFile(document *strictyaml.Document) {
	s.checkSources(document)
	if document.Has("channel") {
		if err := manifests.CheckName("channel", s.Channel); err != nil {
			document.Fault("channel", "%v", err)
		}
	}
	const trialsMost = 10
	if document.Has("trials") && (s.Trials < 1 || s.Trials > trialsMost) {
		document.Fault("trials", "trials %d: want 1 to %d", s.Trials, trialsMost)
	}
	for _, length := range []struct {
		key         string
		is          Duration
		least, most Duration
	}{
		{"poll", s.Poll, Duration(time.Minute), 30 * day},
		{"jitter", s.Jitter, 0, 30 * day},
		{"rebootDeferral", s.RebootDeferral, 0, 30 * day},
		{"retryPause", s.RetryPause, Duration(time.Second), day},
		{"healthTimeout", s.HealthTimeout, Duration(time.Second), Duration(time.Hour)},
		{"healthLimit", s.HealthLimit, Duration(time.Second), day},
		{"watch", s.Watch, 0, day},
	} {
		if document.Has(length.key) && (length.is < length.least || length.is > length.most) {
			document.Fault(length.key, "%s %s: want %s to %s", length.key, length.is, length.least, length.most)
		}
	}
	if document.Has("windows") {
		checkWindows(document, s.Windows)
	}
	if document.Has("extensions") {
		checkList(document, "extensions", s.Extensions, extensionsMost, checkExtension)
	}
	if document.Has("health") {
		manifests.CheckHealth(s.Health, "health", document.Fault)
	}
	if document.Has("demands") {
		s.Demands.Check("demands", document.Fault)
	}
	if document.Has("metrics") {
		checkMetrics(document, s.Metrics)
	}
}

func checkWindows(document *strictyaml.Document, windows []Window) {
	const most = 32
	if len(windows) > most {
		document.Fault("windows", "windows: %d of them: want at most %d", len(windows), most)
		return
	}
	for i, window := range windows {
		at := fmt.Sprintf("windows[%d]", i)
		length, zone := time.Duration(window.Length), window.Timezone
		if window.Length < Duration(schedule.ShortestWindow) || length > schedule.LongestWindow {
			document.Fault(at+".length", "%s.length %s: want %s to %s", at, window.Length, Duration(schedule.ShortestWindow), Duration(schedule.LongestWindow))
			length = schedule.ShortestWindow // one fault at a time
		}
		if zone != "" {
			if _, err := schedule.LoadZone(zone); err != nil {
				document.Fault(at+".timezone", "%s.timezone: %v", at, err)
				zone = ""
			}
		}
		if window.Start == "" {
			document.Fault(at+".start", "%s.start is missing: want a calendar expression such as \"Sat 02:00\"", at)
		} else if _, err := schedule.ParseWindow(window.Start, length, zone); err != nil {
			document.Fault(at+".start", "%s.start: %v", at, err)
		}
	}
}

func checkMetrics(document *strictyaml.Document, metrics string) {
	const socketMost = 107 // sun_path of unix(7), with its NUL
	socket, isSocket := strings.CutPrefix(metrics, "unix:")
	switch {
	case metrics == "": // nowhere, as by default
	case isSocket && path.IsAbs(socket) && path.Clean(socket) == socket && len(socket) <= socketMost:
	case !isSocket && path.IsAbs(metrics) && path.Clean(metrics) == metrics && path.Ext(metrics) == ".prom":
	default:
		document.Fault("metrics", "metrics %.120q: want unix: and an absolute path of at most %d bytes, or an absolute path of a file *.prom", metrics, socketMost)
	}
}

// checkTogether reports what does not hold between the setting at path and the other
// one, which may come from different files. One of both is no default.
func (s *Settings) checkTogether(fault func(path, other, format string, args ...any)) {
	if s.HealthLimit < s.HealthTimeout {
		fault("healthLimit", "healthTimeout", "healthLimit %s: want healthTimeout (%s) to %s", s.HealthLimit, s.HealthTimeout, day)
	}
	if s.Jitter > s.Poll {
		fault("jitter", "poll", "jitter %s: want 0 to poll (%s)", s.Jitter, s.Poll)
	}
	for i, check := range s.Health {
		for _, length := range []struct {
			key string
			is  Duration
		}{{"timeout", check.Timeout}, {"limit", check.Limit}} {
			if length.is > s.HealthLimit {
				at := fmt.Sprintf("health[%d].%s", i, length.key)
				fault(at, "healthLimit", "%s %s: want at most healthLimit (%s)", at, length.is, s.HealthLimit)
			}
		}
	}
}
