package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/updater"
)

func newRecoveryKeyCommand() *cobra.Command {
	var forget bool
	cmd := &cobra.Command{
		Use:   "recovery-key [--forget]",
		Short: "Show the key that opens this machine's /var without its TPM",
		Long: `Show the recovery key of an encrypted /var. It opens the var partition where
the TPM does not: on another mainboard, or after Secure Boot was changed. The
machine made it at its first boot, and keeps it inside /var.

Note it where you keep such keys, and then let the machine forget it: the key
goes on opening /var.`,
		Example: `  proa-agent recovery-key
  proa-agent recovery-key --forget`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := hostOf(cmd)
			if err != nil {
				return err
			}
			var key struct {
				RecoveryKey string `json:"recoveryKey,omitempty"`
			}
			text := "this machine does not know its recovery key any more"
			if forget {
				err = host.ForgetRecoveryKey()
			} else {
				key.RecoveryKey, err = host.ReadRecoveryKey()
				text = key.RecoveryKey
			}
			switch {
			case errors.Is(err, updater.ErrNoRecoveryKey):
				return cli.Exit(exitRefused, err)
			case err != nil:
				return err
			case cli.JSON(cmd):
				return cli.PrintJSON(cmd.OutOrStdout(), key)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().BoolVar(&forget, "forget", false, "remove it from this machine")
	return cmd
}
