package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/daemon"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lastwords"
)

func newStatusCommand() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what runs, what is available, and how the newest trial ended",
		Long: `Show what runs, what is available, and how the newest trial ended. The exit
code is 5 while the newest trial is one that went back.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := newUpdater(cmd)
			if err != nil {
				return err
			}
			status, err := u.Status(cmd.Context(), !offline)
			if err != nil {
				return explain(cmd.Context(), err)
			}
			host, err := hostOf(cmd)
			if err != nil {
				return err
			}
			configuration := configurationOf(host)
			if cli.JSON(cmd) {
				err = cli.PrintJSON(cmd.OutOrStdout(), struct {
					updater.Status
					Configuration *configurationStatus `json:"configuration,omitempty"`
				}{status, configuration})
			} else if err = printStatus(cmd.OutOrStdout(), status, time.Now()); err == nil {
				printConfiguration(cmd.OutOrStdout(), configuration)
			}
			if err != nil {
				return err
			}
			if updater.WentBack(status.Last) {
				return cli.Code(exitWentBack)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the repository")
	return cmd
}

// printStatus writes one line for each thing there is to say.
func printStatus(w io.Writer, s updater.Status, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintf(table, "running\t%s\tslot %s\t%s\n", s.Running.Version, s.Running.Slot, standingText(s, now))
	if p := s.Pending; p != nil {
		fmt.Fprintf(table, "pending\t%s\tslot %s\tthe next boot tries it\n", orUnknown(p.Version), p.Slot)
	}
	if i := s.Installing; i != nil {
		fmt.Fprintf(table, "begun\t%s\tslot %s\t%s\n", orUnknown(i.Version), i.Slot, installingText(s))
	}
	table.Flush()
	if s.VarSealed {
		line(w, "encrypted", "/var", "opened by the TPM")
	}
	if asked := s.FactoryReset; asked != nil {
		line(w, "pending", "factory reset", "the next boot forgets /var and the changes to /etc; asked for "+minute(*asked))
	}
	printAvailable(w, s.Available, s.NotAsked)
	if last := s.Last; last != nil {
		line(w, "last", orUnknown(last.Version), lastText(s, last))
		if last.Journal != "" {
			line(w, "", last.Journal, "what it wrote last")
			const some = 6
			for _, text := range lastwords.Tail(last.Journal, some) {
				fmt.Fprintf(w, "              %s\n", text)
			}
		}
	}
	for _, earlier := range slices.Backward(s.History) {
		line(w, "before", orUnknown(earlier.Version), resultText(&earlier))
	}
	for _, b := range s.Blocked {
		if s.Last != nil && b.Version == s.Last.Version {
			continue // the line above says it
		}
		line(w, "blocked", orUnknown(b.Version), fmt.Sprintf("since %s: %s", minute(b.When), b.Reason))
	}
	for _, x := range s.Extensions {
		line(w, "extension", x.Name+" "+string(x.Version), string(x.Kind), string(x.State))
	}
	printAgent(w, s.Agent)
	if s.Degraded != "" {
		line(w, "degraded", s.Degraded)
	}
	for _, problem := range s.Problems {
		line(w, "problem", problem)
	}
	return nil
}

// line writes a line with its word in front.
func line(w io.Writer, word string, rest ...string) {
	fmt.Fprintf(w, "%-12s%s\n", word, strings.Join(rest, "   "))
}

func standingText(s updater.Status, now time.Time) string {
	text := map[string]string{
		"committed": "committed",
		"trial":     "on trial, not judged yet",
		"failed":    "failed its trial; a reboot leads back",
		"visiting":  "not the committed slot, and no trial",
	}[s.Running.Standing]
	if s.Running.Since != nil {
		text += " " + ago(now.Sub(*s.Running.Since))
	}
	if s.WatchUntil != nil {
		text += ", watched until " + minute(*s.WatchUntil)
	}
	return text
}

func installingText(s updater.Status) string {
	switch {
	case s.RetryAfter != nil:
		return fmt.Sprintf("trials without a verdict: %d; not tried again before %s", s.Installing.Tries, minute(*s.RetryAfter))
	case s.Phase == journal.Verified:
		return "complete, and not to be tried yet"
	}
	return "not complete: update goes on with it, cancel gives it up"
}

// minute is a time as people read it.
func minute(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

func resultText(r *journal.Result) string {
	tried := r.When
	if r.Armed != nil {
		tried = *r.Armed
	}
	text := fmt.Sprintf("tried %s, %s", minute(tried), r.Outcome)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

func lastText(s updater.Status, last *journal.Result) string {
	text := resultText(last)
	for _, b := range s.Blocked {
		if b.Version == last.Version {
			return text + "; blocked"
		}
	}
	return text
}

// printAgent tells what the daemon does, if one runs.
func printAgent(w io.Writer, raw json.RawMessage) {
	var state daemon.State
	if len(raw) == 0 || json.Unmarshal(raw, &state) != nil {
		return
	}
	text := []string{string(state.Activity)}
	if state.WaitsFor != "" {
		text = append(text, "waits for "+state.WaitsFor)
	}
	if state.NextPoll != nil {
		text = append(text, "asks again "+minute(*state.NextPoll))
	}
	if w := state.Window; w != nil {
		text = append(text, "window "+minute(w.Opens))
	}
	line(w, "agent", strings.Join(text, ", "))
}

func printAvailable(w io.Writer, a *updater.Available, notAsked string) {
	switch {
	case a == nil:
		fmt.Fprintf(w, "available   unknown: %s\n", notAsked)
	case a.Refused != "":
		fmt.Fprintf(w, "available   %s   refused: %s\n", a.Version, a.Refused)
	case a.News:
		fmt.Fprintf(w, "available   %s   %s to download (%s image)\n", a.Version, bytesText(a.Download), bytesText(a.Size))
		if a.Toward != "" {
			line(w, "then", string(a.Toward), "which hosts reach over "+string(a.Version))
		}
		const some = 6
		printReleaseNotes(w, a.ReleaseNotes, some)
	default:
		fmt.Fprintf(w, "available   nothing newer than %s\n", a.Version)
	}
}

// releaseNotesMost is more lines than release notes can have.
const releaseNotesMost = manifests.NotesMost

// printReleaseNotes writes the first lines of them.
func printReleaseNotes(w io.Writer, text string, most int) {
	if text == "" {
		return
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for n, text := range lines {
		if n == most {
			line(w, "", fmt.Sprintf("… %d more: 'proa-agent plan' shows them", len(lines)-most))
			return
		}
		word := ""
		if n == 0 {
			word = "notes"
		}
		line(w, word, text)
	}
}

func orUnknown(v manifests.Version) string {
	if v == "" {
		return "unknown"
	}
	return string(v)
}

// bytesText is a size in decimal units, as networks and disks are sold.
func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}

func ago(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(d / unit.length); n == 1 {
			return "1 " + unit.name + " ago"
		} else if n > 1 {
			return fmt.Sprintf("%d %ss ago", n, unit.name)
		}
	}
	return "just now"
}
