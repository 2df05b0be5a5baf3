// Precompiled: what tests include anyway.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "concurrency/asio_pch.h"
