package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"passage/hwsim/lanesim"
)

type officerCmd struct {
	URL      string `arg:"" help:"The lane page, such as http://127.0.0.1:8080/lane."`
	ID       string `default:"anna" help:"Who signs in."`
	PIN      string `name:"pin" default:"4711" help:"With which PIN."`
	Decision string `default:"release" enum:"release,divert,hold,retry_face,refer_second_line" help:"What is decided in every review: release, divert, hold, retry_face or refer_second_line."`
	Reason   string `default:"visual_comparison" help:"With which reason."`
}

func (officerCmd) Help() string {
	return `Example: a guard who releases everybody whom the lane asks about.

  hwsim officer http://127.0.0.1:8080/lane --decision release --reason visual_comparison

A release that needs two persons gets its second from

  hwsim officer http://127.0.0.1:8080/lane --id bert

Where a release is not allowed the officer diverts. In HOLD and MULTI nobody
can be released: the officer diverts there, too. Alarms are acknowledged.`
}

func (c officerCmd) Run(ctx context.Context) error {
	say := func(format string, args ...any) {
		fmt.Printf("%s %s %s\n", time.Now().Format("15:04:05.0"), c.ID, fmt.Sprintf(format, args...))
	}
	base := strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), "/lane")
	return lanesim.Shift{ID: c.ID, PIN: c.PIN, Decision: c.Decision, Reason: c.Reason, Say: say}.Serve(ctx, base)
}
