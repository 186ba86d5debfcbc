package events

import (
	"context"
	"log/slog"
	"os"
)

// Default is the sink of a program on a host: the journal, or lines on
// standard error where no journal listens.
func Default() Sink {
	return Journal(JournalSocket, Log(slog.New(slog.NewTextHandler(os.Stderr, nil))))
}

// Log is a Sink that writes lines to log.
func Log(log *slog.Logger) Sink { return logged{log} }

type logged struct{ log *slog.Logger }

func (l logged) Event(e Event) {
	var args []any
	for _, f := range fields(e) {
		args = append(args, slog.String(f.name, f.value))
	}
	l.log.Log(context.Background(), e.Kind.Priority().Level(), e.String(), args...)
}
