package bus

import (
	"context"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// ServeSystem is Serve on a connection of its own to the system bus.
func ServeSystem(ctx context.Context, config Config) error {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("connecting to the system bus: %w", err)
	}
	defer conn.Close()
	config.Conn = conn
	return Serve(ctx, config)
}
