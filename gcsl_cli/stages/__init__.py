"""Stages: functions of (config, inputs on disk) to (outputs on disk); each reads top to bottom and can be run again."""
