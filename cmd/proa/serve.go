package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/repository"
)

func newServeCommand() *cobra.Command {
	var listen string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve DIR",
		Short: "Serve a repository over HTTP, for trying out",
		Long: `Serve a repository over HTTP, with byte ranges: its metadata, targets and
artifacts, and nothing else that is in the folder. Hosts need nothing more than
this; any web server will do in its place. The URL is printed once connections
are accepted. Interrupt to end.`,
		Example: "  proa serve repo --listen 127.0.0.1:8437",
		Args:    cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if listen == "" {
				return cli.Usage(cmd, errors.New("--listen is empty: want an address and a port"))
			}
			var log io.Writer
			if verbose {
				log = cmd.ErrOrStderr()
			}
			// Interrupting is how one ends it, not a failure.
			err := repository.Serve(cmd.Context(), repository.ServeConfig{
				Dir:    args[0],
				Listen: listen,
				Log:    log,
				Ready: func(url string) {
					if cli.JSON(cmd) {
						cli.PrintJSON(cmd.OutOrStdout(), map[string]string{"url": url})
						return
					}
					fmt.Fprintln(cmd.OutOrStdout(), url)
				},
			})
			if err != nil {
				return repoHint(fmt.Errorf("serving %s: %w", args[0], err))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8437", "address and port; port 0 takes any free one")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log each request on standard error")
	return cmd
}
