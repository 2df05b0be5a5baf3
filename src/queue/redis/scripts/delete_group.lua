if call('HEXISTS', GROUPS, group) == 0 then return 0 end
touch_topic()
remove_group()
-- Who waits creates it again.
wake(1000000, 0)
return 1
