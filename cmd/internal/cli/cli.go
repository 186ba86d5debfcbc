// Package cli is what proa's commands have in common: how a command is run,
// how it prints results, errors, hints and progress, and what its exit code
// says.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes that every program of proa shares.
const (
	ExitOK    = 0
	ExitError = 1 // something went wrong; the error says what
	ExitUsage = 2 // the command line or a configuration file is wrong
)

// endings are the signals that ask a program to end: a closed terminal's, too,
// unless nohup(1) had it ignored.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// Main runs root with the process's arguments under a context that SIGINT,
// SIGTERM and SIGHUP cancel, prints the error that it returns, and gives the exit code.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends what does not heed the first
	ctx, screen := withScreen(ctx)

	root.SilenceErrors = true
	root.SilenceUsage = true
	root.Args = knownCommand
	root.SuggestionsMinimumDistance = 2
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usage(cmd, err)
	})
	err := root.ExecuteContext(ctx)
	screen.close()
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "error: interrupted")
		return 128 + int(syscall.SIGINT)
	}
	if !errors.Is(err, errSaid) {
		report(os.Stderr, err)
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return ExitError
}

// knownCommand refuses a word that no command answers to, and says which one
// may have been meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %.80q for %q", args[0], cmd.CommandPath())
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return Exit(ExitUsage, Hint(err, fmt.Sprintf("did you mean '%s %s'?", cmd.CommandPath(), similar[0])))
	}
	return Usage(cmd, err)
}

func report(w io.Writer, err error) {
	fmt.Fprintf(w, "error: %v\n", err)
	var hint *hintError
	if errors.As(err, &hint) {
		fmt.Fprintf(w, "hint: %s\n", hint.hint)
	}
}

// Usage marks err as a mistake on the command line of cmd.
func Usage(cmd *cobra.Command, err error) error {
	return Exit(ExitUsage, Hint(err, fmt.Sprintf("see '%s --help'", cmd.CommandPath())))
}

// Hint adds what the user can do about err.
func Hint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hintError{err, hint}
}

type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// Exit gives err the exit code that the program ends with.
func Exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{err, code}
}

// Code ends the program with an exit code that is an answer and no error:
// what there is to say has been printed.
func Code(code int) error { return &exitError{errSaid, code} }

var errSaid = errors.New("exit code")

type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }

// PrintJSON writes v to w as indented JSON.
func PrintJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
